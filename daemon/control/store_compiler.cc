#include "control/store_compiler.h"

#include <string>
#include <unordered_map>
#include <utility>

#include "base/format.h"
#include "control/load.h"
#include "control/schema.h"
#include "control/value_reader.h"
#include "control/values.h"
#include "tls/client_context.h"

namespace sluice::control {

namespace {

using snapshot::EndpointSpec;
using snapshot::RedisSpec;
using snapshot::StoreSpec;
using Mode = RedisSpec::Mode;

// Every key but `type` belongs to one type of store.
void check_keys(const StoreDraft& draft, Diagnostics& diagnostics) {
  for (const Entry& entry : draft.node->entries) {
    if (entry.key == "type" || find_row(Section::store, entry.key) == nullptr) continue;
    const bool of_memory = entry.key == "max_bytes" || entry.key == "evict";
    const StoreSpec::Type type = of_memory ? StoreSpec::Type::memory : StoreSpec::Type::redis;
    if (type == *draft.type) continue;
    diagnostics.error(entry.key_place, fmt::format("\"{}\" is a key of stores of type {}", entry.key,
                                                   type == StoreSpec::Type::memory ? "memory" : "redis"));
  }
}

void compile_servers(const StoreDraft& draft, RedisSpec& redis, Diagnostics& diagnostics) {
  if (draft.addresses.empty()) {
    const Node* list = draft.node->find("address");
    const bool is_empty =
        list == nullptr || list->kind == Node::Kind::null || (list->kind == Node::Kind::list && list->entries.empty());
    if (is_empty) {
      diagnostics.error(list == nullptr ? draft.node->place : list->place,
                        fmt::format("store \"{}\" needs an address; write [\"127.0.0.1:6379\"]", draft.name));
    }
    return;
  }
  std::unordered_map<std::string, Place> taken;
  for (const Node* node : draft.addresses) {
    EndpointSpec server;
    if (!read_endpoint(*node, Type::address, server, diagnostics)) continue;
    const auto [first, is_new] = taken.emplace(place_of(server), node->place);
    if (!is_new) {
      diagnostics.error(node->place, fmt::format("{} is already an address of \"{}\", at {}", first->first, draft.name,
                                                 diagnostics.describe(first->second)));
    }
    const bool is_unix = server.host.empty() && server.address.family() == AF_UNIX;
    if (is_unix && redis.mode != Mode::single) {
      diagnostics.error(node->place, "a unix socket is possible with mode single only");
    }
    redis.servers.push_back(std::move(server));
  }
  if (redis.mode == Mode::single && draft.addresses.size() > 1) {
    diagnostics.error(draft.addresses[1]->place, "several addresses are possible with mode sentinel and cluster only");
  }
}

void check_mode(const StoreDraft& draft, const RedisSpec& redis, Diagnostics& diagnostics) {
  const auto place_of_key = [&](std::string_view key) { return draft.node->find_entry(key)->key_place; };
  if (redis.mode == Mode::sentinel && redis.master_name.empty()) {
    diagnostics.error(place_of_key("mode"), "mode sentinel needs \"master_name\", what the sentinels call the master");
  }
  if (redis.mode != Mode::sentinel && !redis.master_name.empty()) {
    diagnostics.error(place_of_key("master_name"), "\"master_name\" is used with mode sentinel only");
  }
  if (redis.mode == Mode::cluster && redis.db != 0) {
    diagnostics.error(place_of_key("db"), "a Redis Cluster has the database 0 only");
  }
  if (!redis.username.empty() && draft.node->find("password_file") == nullptr) {
    diagnostics.error(place_of_key("username"), "\"username\" is used with \"password_file\" only");
  }
}

void read_password(const Node& file, std::string& password, Diagnostics& diagnostics, SourceFiles& sources) {
  if (!read_secret_file(file, "password_file", password, diagnostics, sources)) return;
  if (!password.empty() && password.find_first_of(std::string_view("\n\r\0", 3)) == std::string::npos) return;
  diagnostics.error(file.place,
                    fmt::format("password_file: {} must hold a password in one line", resolve_path(diagnostics, file)));
}

// A file that cannot be read is reported; one that was not named is empty.
bool read_pem(const Node* file, std::string_view key, std::string& pem, Diagnostics& diagnostics,
              SourceFiles& sources) {
  constexpr size_t kMaxPemBytes = size_t{1} << 20;
  if (file == nullptr) return true;
  const std::string path = resolve_path(diagnostics, *file);
  std::string error;
  sources.add(path);
  if (read_whole_file(path, kMaxPemBytes, true, pem, error)) return true;
  diagnostics.error(file->place, fmt::format("{}: cannot read {}: {}", key, path, error));
  return false;
}

// What certificates can be checked for. OpenSSL would take an empty C string for any name.
bool is_server_name(const std::string& name) {
  return SocketAddress::parse_ip(name).has_value() || parse_host_and_port(name + ":1").has_value();
}

// `node`: the section.
void compile_tls(const TlsClientDraft& draft, const Node& node, RedisSpec& redis, Diagnostics& diagnostics,
                 SourceFiles& sources) {
  snapshot::TlsClientSpec spec = draft.spec;
  const EndpointSpec* const only =
      redis.mode == Mode::single && redis.servers.size() == 1 ? &redis.servers[0] : nullptr;
  if (only != nullptr && only->host.empty() && only->address.family() == AF_UNIX) {
    diagnostics.error(node.place, "TLS is not possible over a unix socket");
  }
  if (!spec.server_name.empty() && !is_server_name(spec.server_name)) {
    diagnostics.error(node.find("server_name")->place,
                      fmt::format("server_name: \"{}\" is neither a host name nor an IP address", spec.server_name));
  }
  if (only != nullptr && spec.server_name.empty()) spec.server_name = only->host;
  if ((draft.cert_file == nullptr) != (draft.key_file == nullptr)) {
    diagnostics.error(draft.cert_file != nullptr ? draft.cert_file->place : draft.key_file->place,
                      "\"cert_file\" and \"key_file\" belong together");
  }
  if (!spec.verify) {
    diagnostics.warning(node.find_entry("verify")->key_place,
                        "verify: false: the servers' certificates are not looked at, so anybody may pose as them");
  }
  bool read = read_pem(draft.ca_file, "ca_file", spec.ca_pem, diagnostics, sources);
  read = read_pem(draft.cert_file, "cert_file", spec.certificate_pem, diagnostics, sources) && read;
  read = read_pem(draft.key_file, "key_file", spec.key_pem, diagnostics, sources) && read;
  // Empty would mean that there is none.
  const auto hold = [](const Node* file, std::string& pem) {
    if (file != nullptr && pem.empty()) pem = "\n";
  };
  hold(draft.ca_file, spec.ca_pem);
  hold(draft.cert_file, spec.certificate_pem);
  if (!read) return;
  tls::ClientContext::Failure failure;
  spec.context = tls::ClientContext::make(
      {.ca_pem = spec.ca_pem, .certificate_pem = spec.certificate_pem, .key_pem = spec.key_pem, .verify = spec.verify},
      failure);
  if (spec.context == nullptr && (draft.cert_file == nullptr) == (draft.key_file == nullptr)) {
    using Part = tls::ClientContext::Failure::Part;
    const bool is_key = failure.part == Part::key;
    const Node& file = failure.part == Part::ca ? *draft.ca_file : is_key ? *draft.key_file : *draft.cert_file;
    const char* key = failure.part == Part::ca ? "ca_file" : is_key ? "key_file" : "cert_file";
    diagnostics.error(file.place,
                      fmt::format("{}: {} cannot be used: {}", key, resolve_path(diagnostics, file), failure.why));
  }
  redis.tls = std::move(spec);
}

}  // namespace

std::vector<StoreSpec> compile_stores(std::span<StoreDraft> drafts, Diagnostics& diagnostics, SourceFiles& sources) {
  std::vector<StoreSpec> stores;
  for (StoreDraft& draft : drafts) {
    if (!draft.type) continue;  // reported; what else is right is not known
    draft.spec.name = draft.name;
    draft.spec.type = *draft.type;
    check_keys(draft, diagnostics);
    if (draft.spec.type == StoreSpec::Type::redis) {
      compile_servers(draft, draft.spec.redis, diagnostics);
      check_mode(draft, draft.spec.redis, diagnostics);
      if (const Node* tls = draft.node->find("tls")) {
        compile_tls(draft.tls, *tls, draft.spec.redis, diagnostics, sources);
      }
      if (draft.password_file != nullptr) {
        read_password(*draft.password_file, draft.spec.redis.password, diagnostics, sources);
      }
    }
    stores.push_back(std::move(draft.spec));
  }
  return stores;
}

}  // namespace sluice::control
