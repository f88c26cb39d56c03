// Client: what an Exchange sees of who asked, and answers through. Over HTTP/1 that is the whole connection (Downstream), one
// exchange after the other; over HTTP/2 one of its streams (Http2Stream), which lives as long as its exchange. Worker thread only.
#pragma once

#include "base/result.h"
#include "event/stream.h"
#include "event/timer_wheel.h"
#include "proxy/generation.h"
#include "proxy/outbox.h"
#include "stats/families.h"

namespace sluice::proxy {

class Downstream;
class Engine;

class Client {
 public:
  /// The connection: who is at its other end, and what was agreed on with them.
  [[nodiscard]] Downstream& connection() const { return connection_; }
  [[nodiscard]] Engine& engine() const { return engine_; }
  /// What the current request holds; empty while there is none.
  [[nodiscard]] const GenerationRef& generation() const { return generation_; }
  /// When the first byte of the current request was read.
  [[nodiscard]] MonoTime request_began() const { return request_began_; }
  /// The client is gone, but its request is carried out.
  [[nodiscard]] virtual bool lost() const = 0;

  // What the client sends:
  virtual void pause_reading() = 0;
  virtual void resume_reading() = 0;

  // What the client gets:
  /// Adds a head, written as HTTP/1.1 does, in front of what `out` gets from now on. `text` is as for Outbox::add(). Several 1xx
  /// and one final head for each request.
  virtual void send_head(std::string_view text, Outbox& out) = 0;
  /// Adds a trailer section, written as HTTP/1.1 does, behind a body that has ended.
  virtual void send_trailers(std::string_view text, Outbox& out) = 0;
  /// As Outbox::flush(). `last`: nothing of the answer comes behind what `out` holds.
  virtual event::IoStatus flush(Outbox& out, bool last) = 0;
  /// What the last flush() was given went out, its end too.
  [[nodiscard]] virtual bool has_taken_all() const = 0;
  /// Whether on_client_writable() is to come when more can be taken.
  virtual void want_write(bool want) = 0;
  [[nodiscard]] virtual bool wants_write() const = 0;
  /// The socket, if its bytes are those of this exchange alone, so that the kernel can move files and pipes to it; else nullptr.
  [[nodiscard]] virtual event::Stream* socket() = 0;
  /// Nothing comes behind what was written.
  virtual void shutdown_write() = 0;
  /// The answer ends here and is not whole, which the client must see. `end_means_complete`: a mere end would look like one.
  virtual void abort(Outbox& out, bool end_means_complete, Reason reason) = 0;
  /// It ends here, and the exchange with it, unless that outlives a client that went away. Idempotent.
  virtual void close(Reason reason) = 0;

  /// What becomes of the connection after an exchange.
  enum class After : uint8_t {
    keep_alive,  // the next request may come
    close,       // the client said that nothing more comes, and sent all it announced
    linger,      // it may still be sending: it gets time to read the answer
  };
  /// The exchange is over; `reason` is what went wrong, or none.
  virtual void on_exchange_end(After after, Reason reason) = 0;
  /// HTTP/1: no request after this one: the limit of requests per connection is reached, the client's FIN stands behind it, or
  /// the connection is parting.
  [[nodiscard]] virtual bool last_request() const = 0;
  virtual void set_state(stats::ConnectionState state) = 0;

  /// After `after` without progress the exchange hears of `reason`. Replaces the timeout before.
  void arm(Millis after, Reason reason);
  void disarm() { timer_.cancel(); }

 protected:
  Client(Downstream& connection, Engine& engine);
  ~Client() = default;

  virtual void on_timer() = 0;
  [[nodiscard]] Reason timer_reason() const { return timer_reason_; }

  GenerationRef generation_;  // from a request's first byte to its end
  MonoTime request_began_;

 private:
  Downstream& connection_;
  Engine& engine_;
  event::Timer timer_;
  Reason timer_reason_ = Reason::idle_timeout;
};

}  // namespace sluice::proxy
