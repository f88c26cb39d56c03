// Carrier: what takes one request to an endpoint and brings its response back: a Connection of HTTP/1.1, or a stream of an
// Http2Connection. It belongs to its Pool, is lent to one exchange at a time (Lease), and frames the request as its protocol wants it.
// Worker thread only.
#pragma once

#include <sys/uio.h>

#include <span>
#include <string_view>
#include <utility>

#include "base/clock.h"
#include "base/result.h"
#include "event/pipe.h"
#include "event/transport.h"
#include "http/framing.h"
#include "http/message.h"

namespace sluice::upstream {

class Carrier {
 public:
  virtual ~Carrier() = default;

  /// Who leases it. Calls come from the loop, never from inside a function of Carrier. Any of them may release or abandon the
  /// lease.
  class User {
   public:
    /// 1xx but 101. `head` is valid during the call only, as in on_response_head.
    virtual void on_informational(const http::ResponseHead& head) = 0;
    virtual void on_response_head(const http::ResponseHead& head, const http::ResponseFraming& framing) = 0;
    /// Payload, chunked coding taken off; `data` stays valid until on_upstream_pause_point().
    virtual void on_response_body(std::string_view data) = 0;
    /// `left` bytes of a body of known length are still to come and need not be looked at: a pipe to splice them into, or
    /// nullptr to get them by on_response_body(). Once a pipe was given, the rest of the body takes that way.
    virtual event::Pipe* offer_splice(uint64_t left) = 0;
    /// The response is complete; `trailers` may be empty.
    virtual void on_response_end(const http::HeaderMap& trailers) = 0;
    /// All bytes of this wake-up were handed over: time to write them out.
    virtual void on_upstream_pause_point() = 0;
    virtual void on_upstream_writable() = 0;
    /// It is of no more use; abandon the lease.
    virtual void on_upstream_error(Error error) = 0;

   protected:
    ~User() = default;
  };

  /// First of all, and once. `head` is a head of HTTP/1.1, and valid as long as the lease; nothing is sent before send(). A body
  /// `until_close` is what will go up a tunnel.
  virtual void begin(std::string_view head, const http::BodyFraming& body) = 0;
  /// Sends what is left of the head, and of the body that follows what was taken before as much as can be taken now. `last`:
  /// nothing comes behind `body` but `trailers`, which are lines with the empty one at their end, or nothing.
  /// ok: all of it was taken, the end too. again: `bytes` of `body` were, and on_upstream_writable() says when to offer the rest.
  /// eof: a tunnel's endpoint ended its way well, and takes nothing more: so the way up is over too.
  /// error: nothing can be sent any more; the response may come all the same, and if it does not, on_upstream_error() will.
  [[nodiscard]] virtual event::IoResult send(std::span<const iovec> body, bool last, std::string_view trailers) = 0;
  /// At least one byte of the request was sent.
  [[nodiscard]] virtual bool has_sent() const = 0;

  /// Why it cannot become a tunnel, by 101, for a request that asks for one; Reason::none if it can. Before begin().
  [[nodiscard]] virtual Error refuses_tunnel(const http::RequestHead& head) const = 0;
  /// The tunnel's way up is over.
  virtual void shutdown_write() = 0;
  /// The tunnel is no more, and the endpoint must not take that for a good end.
  virtual void cut() = 0;

  /// After `after` without progress the user gets `reason` as an error. Each arm() replaces the one before.
  virtual void arm(Millis after, Reason reason) = 0;
  virtual void disarm() = 0;

  /// What is left of the request or the response is of no interest (the request was not sent whole, for instance).
  virtual void spoil() = 0;
  /// Back-pressure from the client's side.
  virtual void pause_reading() = 0;
  virtual void resume_reading() = 0;

  /// At least one byte of the current exchange's response arrived.
  [[nodiscard]] virtual bool got_bytes() const = 0;
  /// Its connection served another exchange before this one.
  [[nodiscard]] virtual bool reused() const = 0;

 private:
  friend class Lease;
  /// The user is gone and hears nothing any more. `reason` says why the connection is closed if it cannot be used again.
  virtual void give_back(Reason reason) = 0;
};

/// A leased Carrier, given back at the latest when the Lease dies.
class Lease {
 public:
  Lease() = default;
  explicit Lease(Carrier& carrier) : carrier_(&carrier) {}
  ~Lease() { give_back(Reason::internal_error); }
  Lease(Lease&& other) noexcept : carrier_(std::exchange(other.carrier_, nullptr)) {}
  Lease& operator=(Lease&& other) noexcept {
    give_back(Reason::internal_error);
    carrier_ = std::exchange(other.carrier_, nullptr);
    return *this;
  }

  void give_back(Reason reason) {
    if (carrier_ != nullptr) std::exchange(carrier_, nullptr)->give_back(reason);
  }
  explicit operator bool() const { return carrier_ != nullptr; }
  Carrier* operator->() const { return carrier_; }
  Carrier& operator*() const { return *carrier_; }

 private:
  Carrier* carrier_ = nullptr;
};

}  // namespace sluice::upstream
