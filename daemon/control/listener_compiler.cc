#include "control/listener_compiler.h"

#include <algorithm>

#include "base/format.h"
#include "control/load.h"
#include "control/value_reader.h"
#include "control/values.h"

namespace sluice::control {

namespace {
constexpr std::string_view kDefaultAdmin = "127.0.0.1:9901";  // the fallback of admin.listen in schema.cc
constexpr size_t kMinTokenBytes = 16;
}  // namespace

std::vector<snapshot::ListenerSpec> ListenerCompiler::compile(std::span<ListenerDraft> drafts) {
  std::vector<snapshot::ListenerSpec> listeners;
  for (ListenerDraft& draft : drafts) {
    check_limits(draft);
    draft.spec.name = draft.name;
    if (draft.address != nullptr) {
      if (const auto address = read_address(*draft.address, Type::listen_address, diagnostics_)) {
        claim(*address, draft.address->place);
        draft.spec.address = *address;
      }
    }
    if (const Node* tls = draft.node->find("tls")) draft.spec.tls = tls_.compile(draft.tls, draft.spec, *tls);
    listeners.push_back(std::move(draft.spec));
  }
  return listeners;
}

void ListenerCompiler::check_limits(const ListenerDraft& draft) {
  const http::HeadLimits& head = draft.spec.head;
  if (head.first_line_bytes <= head.head_bytes) return;
  diagnostics_.error(
      draft.name_place,
      fmt::format("limits of \"{}\": request_line ({}) is larger than header_bytes ({}), of which it is a part",
                  draft.name, format_size(head.first_line_bytes), format_size(head.head_bytes)));
}

// Two listeners cannot have one address; port 0 is a new port each time.
void ListenerCompiler::claim(const SocketAddress& address, Place place) {
  if (address.family() != AF_UNIX && address.port() == 0) return;
  const auto [first, is_new] = taken_.emplace(address.to_string(), place);
  if (is_new) return;
  diagnostics_.error(place, fmt::format("{} is already listened on, at {}", address.to_string(),
                                        diagnostics_.describe(first->second)));
}

snapshot::AdminSpec ListenerCompiler::compile(const AdminDraft& draft) {
  snapshot::AdminSpec admin;
  admin.address = *SocketAddress::parse(kDefaultAdmin);
  if (draft.token_file != nullptr) read_token(*draft.token_file, admin.token);
  if (draft.listen == nullptr) return admin;
  admin.enabled = draft.listen->text != "off";
  if (!admin.enabled) return admin;
  const auto address = read_address(*draft.listen, Type::admin_address, diagnostics_);
  if (!address) return admin;
  claim(*address, draft.listen->place);
  admin.address = *address;
  if (!address->is_loopback() && draft.token_file == nullptr) {
    diagnostics_.error(draft.listen->place, "other machines can reach this address, so admin.token_file is needed");
  }
  return admin;
}

void ListenerCompiler::read_token(const Node& file, std::string& token) {
  std::string text;
  if (!read_secret_file(file, "token_file", text, diagnostics_, sources_)) return;
  const bool visible = std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7f; });
  if (text.size() < kMinTokenBytes || !visible) {
    return diagnostics_.error(file.place,
                              fmt::format("token_file: {} must hold a token of at least {} characters, without spaces",
                                          resolve_path(diagnostics_, file), kMinTokenBytes));
  }
  token = std::move(text);
}

}  // namespace sluice::control
