// What the section reader fills: the values of snapshot/spec.h as far as one key alone decides them, and the
// nodes of those that need a look at the rest first (names of upstreams, templates that use a pattern's
// captures). compile.cc turns a Draft into a Snapshot. Defaults are those of spec.h.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "control/tree.h"
#include "snapshot/spec.h"

namespace sluice::control {

struct PluginDraft {
  std::string name;
  Place name_place;
  Node* module = nullptr;
  Node* config = nullptr;
};

struct AdminDraft {
  Node* listen = nullptr;
  Node* token_file = nullptr;
};

struct TlsCertificateDraft {
  Node* node = nullptr;  // the whole certificate
  Node* cert_file = nullptr;
  Node* key_file = nullptr;
  Node* ocsp_file = nullptr;
};

struct TlsServerDraft {
  std::vector<TlsCertificateDraft> certificates;
  Node* ciphers = nullptr;
  Node* client_ca_file = nullptr;
  std::vector<Node*> ticket_key_files;
  snapshot::TlsServerSpec spec;
};

struct ListenerDraft {
  std::string name;
  Place name_place;
  Node* node = nullptr;  // the whole listener
  TlsServerDraft tls;    // if the listener has the key
  Node* address = nullptr;
  std::vector<Node*> plugins;
  snapshot::ListenerSpec spec;
};

struct EndpointDraft {
  Node* node = nullptr;  // the whole endpoint
  Node* address = nullptr;
  Node* dns = nullptr;
  snapshot::EndpointSpec spec;
};

struct TlsClientDraft {
  bool enabled = true;
  Node* ca_file = nullptr;
  Node* cert_file = nullptr;
  Node* key_file = nullptr;
  snapshot::TlsClientSpec spec;
};

struct UpstreamDraft {
  std::string name;
  Place name_place;
  Node* node = nullptr;  // the whole upstream
  std::vector<EndpointDraft> endpoints;
  TlsClientDraft tls;  // if the upstream has the key
  snapshot::ClusterSpec spec;
};

struct StoreDraft {
  std::string name;
  Place name_place;
  Node* node = nullptr;                           // the whole store
  std::optional<snapshot::StoreSpec::Type> type;  // unless it is missing or wrong
  std::vector<Node*> addresses;
  Node* password_file = nullptr;
  TlsClientDraft tls;  // if the store has the key
  snapshot::StoreSpec spec;
};

struct MatchDraft {
  Node* path = nullptr;
  snapshot::MatchSpec spec;
};

struct SplitDraft {
  Node* upstream = nullptr;
  snapshot::SplitShare spec;
};

struct RespondDraft {
  snapshot::RespondSpec spec;
  std::vector<const Entry*> headers;
};

struct RedirectDraft {
  Node* to = nullptr;
  snapshot::RedirectSpec spec;
};

struct StaticDraft {
  Node* root = nullptr;
  snapshot::StaticSpec spec;
};

struct RewriteDraft {
  Node* path = nullptr;
  Node* host = nullptr;
};

struct HeaderEditsDraft {
  std::vector<const Entry*> set;
  std::vector<const Entry*> add;
  std::vector<Node*> remove;
};

struct HeadersDraft {
  HeaderEditsDraft request;
  HeaderEditsDraft response;
};

struct RouteDraft {
  Node* node = nullptr;  // the whole route
  Node* name = nullptr;
  Node* upstream = nullptr;
  Node* strip_prefix = nullptr;
  std::vector<Node*> plugins;
  MatchDraft match;
  std::vector<SplitDraft> split;
  RespondDraft respond;
  RedirectDraft redirect;
  StaticDraft files;
  RewriteDraft rewrite;
  HeadersDraft headers;
  snapshot::RouteSpec spec;
};

struct Draft {
  snapshot::ProcessSpec process;
  AdminDraft admin;
  snapshot::AccessLogSpec access_log;
  std::vector<Network> trusted_proxies;
  std::vector<ListenerDraft> listeners;
  std::vector<UpstreamDraft> upstreams;
  std::vector<StoreDraft> stores;
  std::vector<PluginDraft> plugins;
  std::vector<Node*> routes;  // read one by one (route_compiler.h): 100,000 drafts would be 150 MB
};

}  // namespace sluice::control
