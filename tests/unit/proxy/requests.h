// GivenRequest: a proxy::Request as the exchange would have read it from these bytes, with all the memory it looks
// into.
#pragma once

#include <array>
#include <catch2/catch.hpp>
#include <string>
#include <string_view>

#include "http/parser.h"
#include "proxy/request.h"

namespace sluice::proxy::test {

/// Compiles a template that must be right.
inline snapshot::Template compiled(std::string_view source, const std::vector<std::string>& captures = {}) {
  std::string error;
  size_t error_at = 0;
  auto made = snapshot::Template::compile(source, captures, error, error_at);
  REQUIRE(made.has_value());
  return std::move(*made);
}

class GivenRequest {
 public:
  /// `head` without the final empty line. The peer is 192.0.2.1 unless told otherwise; it is trusted if `trusted` lists
  /// it.
  explicit GivenRequest(std::string head, const std::vector<Network>& trusted = {}, std::string peer = "192.0.2.1")
      : head_(std::move(head) + "\r\n"), peer_(std::move(peer)) {
    request.peer = peer_;
    for (const Network& network : trusted) request.peer_trusted |= network.contains(*SocketAddress::parse_ip(peer_));
    request.route = &route;
    reason = read(trusted);
  }
  GivenRequest(const GivenRequest&) = delete;
  GivenRequest& operator=(const GivenRequest&) = delete;

 private:
  Reason read(const std::vector<Network>& trusted) {
    std::array<http::HeaderField, 32> fields;
    const Result<http::RequestHead> head = http::parse_request(head_, fields);
    if (!head) return head.error().reason;
    const Result<void> done = read_request(*head, head_, listener, trusted, arena, random, request);
    head_.assign(head_.size(), '!');  // what was read into the request must not look at it
    return done ? Reason::none : done.error().reason;
  }

  std::string head_;
  std::string peer_;
  BlockPool blocks_;

 public:
  snapshot::ListenerSpec listener;
  snapshot::RouteSpec route{.name = "users"};
  Arena arena{blocks_};
  Random random{1};
  Request request;
  Reason reason = Reason::none;
};

}  // namespace sluice::proxy::test
