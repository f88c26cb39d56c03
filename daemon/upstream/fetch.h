// Fetch: one request of the gateway's own (a plugin's) to one endpoint of a cluster, and its whole answer in memory, bounded. A
// kept connection that proves stale is replaced once if the method is safe; there is no other retry, and no redirect is
// followed. Worker thread only. Whoever wants the answer owns the Fetch; destroying it is cancelling it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "event/timer_wheel.h"
#include "upstream/cluster.h"

namespace sluice::upstream {

class Fetch final : private Carrier::User, private Pool::Waiter {
 public:
  struct Request {
    http::Method method = http::Method::GET;
    std::string_view target;       // path and query
    std::string_view host;         // empty: the endpoint's name
    std::string_view field_lines;  // each with its CR LF; none of framing
    std::string_view body;
    Millis timeout{0};  // for all of it
    size_t max_body = 0;
  };
  struct Answer {
    uint16_t status = 0;  // 0: there is none
    std::span<const http::HeaderField> headers;
    std::string_view body;
    Reason reason = Reason::none;  // why there is none
  };
  /// Called once, never from inside start() or refuse(). May destroy the Fetch; what `answer` shows lives as long as the Fetch, or until
  /// this returns.
  using Done = void (*)(void* owner, const Answer& answer);

  Fetch(event::Loop& loop, Done done, void* owner);
  ~Fetch();
  Fetch(const Fetch&) = delete;
  Fetch& operator=(const Fetch&) = delete;

  /// Once. All of `request` is copied.
  void start(Cluster& cluster, const Request& request);
  /// Instead of start(): the answer, later, is that there is none.
  void refuse(Reason reason);

 private:
  // Carrier::User
  void on_informational(const http::ResponseHead&) override {}
  void on_response_head(const http::ResponseHead& head, const http::ResponseFraming& framing) override;
  void on_response_body(std::string_view data) override;
  event::Pipe* offer_splice(uint64_t) override { return nullptr; }
  void on_response_end(const http::HeaderMap& trailers) override;
  void on_upstream_pause_point() override {}
  void on_upstream_writable() override { send(); }
  void on_upstream_error(Error error) override;
  // Pool::Waiter
  void on_lease(Carrier& carrier) override;
  void on_lease_failed(Error error) override { finish(error.reason); }
  Carrier::User& user() override { return *this; }
  [[nodiscard]] http::Method request_method() const override { return method_; }

  void acquire(bool fresh);
  void send();
  void finish(Reason reason);

  event::Loop& loop_;
  Done done_;
  void* owner_;
  event::Timer deadline_;
  Reason overdue_ = Reason::upstream_timeout;  // what the timer says
  EndpointRef endpoint_;
  Lease lease_;
  http::Method method_ = http::Method::GET;
  std::string head_;  // of the request, as its body
  http::BodyFraming framing_;
  std::string sent_body_;
  size_t sent_ = 0;  // of the body
  bool all_sent_ = false;
  size_t max_body_ = 0;
  bool replaced_ = false;
  uint16_t status_ = 0;
  std::string head_text_;
  std::vector<http::HeaderField> headers_;
  std::string body_;
};

}  // namespace sluice::upstream
