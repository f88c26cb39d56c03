// Connection: one client of the admin listener: one request at a time, kept alive between them. Owned by the
// Server, on the control thread; ends by handing itself to Server::remove(), which frees it at the end of the
// turn.
//
// | state     | waits for                         | for at most                                   |
// |-----------|-----------------------------------|-----------------------------------------------|
// | reading   | a whole head                      | kHeadTimeout; kIdleTimeout for its first byte |
// | waiting   | the end of a reload               | kReloadTimeout                                |
// | writing   | the client to take the answer     | kWriteTimeout                                 |
// | lingering | the client's FIN after the answer | kLingerTimeout                                |
#pragma once

#include <string>

#include "admin/endpoints.h"
#include "base/buffer.h"
#include "event/loop.h"
#include "event/stream.h"
#include "event/timer_wheel.h"
#include "http/head_scanner.h"

namespace sluice::admin {

class Server;

class Connection final : public event::Deferred, private event::Stream::Handler {
 public:
  static constexpr size_t kHeadBytes = 8 * 1024;
  static constexpr uint32_t kFields = 64;
  static constexpr Millis kHeadTimeout{10'000};
  static constexpr Millis kIdleTimeout{60'000};
  static constexpr Millis kWriteTimeout{60'000};  // for the whole answer: a client may not trickle it for ever
  static constexpr Millis kReloadTimeout{60'000};
  static constexpr Millis kLingerTimeout{2'000};

  Connection(Server& server, event::Loop& loop);

  /// Takes over the descriptor. False if the loop cannot watch it.
  [[nodiscard]] bool open(int fd);
  /// Closes at once; nothing is called back any more.
  void close();
  /// The answer comes if this connection waits for it.
  void on_reloaded(const ReloadReport& report);

 private:
  enum class State : uint8_t { reading, waiting, writing, lingering };

  void on_readable() override;
  void on_writable() override;
  void on_error() override;
  void on_deadline();

  void serve();
  bool serve_next();
  void serve_head(std::string_view head);
  void refuse(const Error& error);
  void send(Response response, bool keep_alive, bool with_body);
  void flush();
  void finish_response();
  void discard_input();
  void wait(State state, Millis at_most);

  Server& server_;
  event::Loop& loop_;
  event::Stream stream_;
  event::Timer deadline_;
  Buffer input_;
  http::HeadScanner scanner_;
  State state_ = State::reading;
  bool keep_alive_ = false;  // after the answer being written
  bool as_text_ = false;     // the answer that is waited for
  std::string head_;
  std::string body_;
  size_t sent_ = 0;  // of head_ and body_ together
};

}  // namespace sluice::admin
