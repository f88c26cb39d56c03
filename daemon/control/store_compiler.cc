#include "control/store_compiler.h"

#include <string>
#include <unordered_map>
#include <utility>

#include "base/format.h"
#include "control/load.h"
#include "control/schema.h"
#include "control/value_reader.h"
#include "control/values.h"

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

std::optional<snapshot::TlsClientSpec> compile_tls(const StoreDraft& draft, const RedisSpec& redis,
                                                   ClientTlsCompiler& tls) {
  const Node* section = draft.node->find("tls");
  auto spec = tls.compile(draft.tls, section, {});
  if (!spec || redis.mode != Mode::single || redis.servers.size() != 1) return spec;
  const EndpointSpec& only = redis.servers[0];
  if (only.host.empty() && only.address.family() == AF_UNIX) tls.refuse_unix(section->place);
  if (spec->server_name.empty()) spec->server_name = only.host;
  return spec;
}

}  // namespace

std::vector<StoreSpec> compile_stores(std::span<StoreDraft> drafts, ClientTlsCompiler& tls, Diagnostics& diagnostics,
                                      SourceFiles& sources) {
  std::vector<StoreSpec> stores;
  for (StoreDraft& draft : drafts) {
    if (!draft.type) continue;  // reported; what else is right is not known
    draft.spec.name = draft.name;
    draft.spec.type = *draft.type;
    check_keys(draft, diagnostics);
    if (draft.spec.type == StoreSpec::Type::redis) {
      compile_servers(draft, draft.spec.redis, diagnostics);
      check_mode(draft, draft.spec.redis, diagnostics);
      draft.spec.redis.tls = compile_tls(draft, draft.spec.redis, tls);
      if (draft.password_file != nullptr) {
        read_password(*draft.password_file, draft.spec.redis.password, diagnostics, sources);
      }
    }
    stores.push_back(std::move(draft.spec));
  }
  return stores;
}

}  // namespace sluice::control
