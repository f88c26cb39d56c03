// OriginConnection: one client of `sluice origin`. Takes requests one after the other, answers in order, and
// stops reading while an answer cannot leave. Lives in its Origin's slab; ends itself through
// Origin::forget().
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/buffer.h"
#include "base/intrusive_list.h"
#include "event/stream.h"
#include "event/timer_wheel.h"
#include "http/chunked.h"
#include "http/framing.h"
#include "http/head_scanner.h"
#include "http/message.h"

namespace sluice::cli {

class Origin;
struct OriginTag;

/// What a request asks for, as its path says.
struct OriginOrder {
  enum class Kind : uint8_t { echo, bytes, chunked, status, delay };
  Kind kind = Kind::echo;
  uint64_t number = 0;
};
/// `default_bytes` is for /bytes without a number. A number that the kind does not allow makes it an echo.
OriginOrder read_order(std::string_view target, uint64_t default_bytes);

class OriginConnection final : public ListNode<OriginTag>, private event::Stream::Handler {
 public:
  explicit OriginConnection(Origin& origin);
  [[nodiscard]] bool open(int fd);

 private:
  friend class Origin;

  // State   waits for                    then
  // head    the end of a request head    body, or the answer: sending, delayed, head
  // body    the end of its body          the answer: sending, delayed, head
  // delayed the timer                    sending or head
  // sending room in the socket           head, or the end if the connection does not go on
  // lingering the client's end, so that a refusal is not lost in a reset
  enum class State : uint8_t { head, body, delayed, sending, lingering };

  void on_readable() override;
  void on_writable() override;
  void on_error() override { end(); }
  void on_timer();
  void on_eof();
  void on_bytes(std::string_view bytes);

  /// Works requests off the front of `input`; returns how much of it was used.
  size_t take(std::string_view input);
  size_t take_head(std::string_view input);
  size_t take_body(std::string_view input);
  void begin_request(const http::RequestHead& head, const http::RequestFraming& framing, bool last_input);
  void answer(bool last_input);
  void answer_bytes(bool last_input);
  void answer_chunked();
  void answer_text(uint16_t status, std::string_view type, std::string_view text);
  void finish_answer();
  void refuse(Error error);

  void write_head(uint16_t status, std::string_view type, const http::BodyFraming& body);
  void write_now(std::string_view bytes);
  void append_chunks();
  void flush();
  void on_flushed();
  void work_off_input();
  void end();
  [[nodiscard]] bool has_ended() const { return !stream_.is_open(); }
  [[nodiscard]] bool takes_requests() const { return state_ == State::head || state_ == State::body; }

  Origin& origin_;
  event::Stream stream_;
  event::Timer timer_;         // of a delay, or of lingering
  Buffer in_;                  // input that could not be worked off yet
  Buffer out_;                 // output that did not leave at once
  uint64_t pattern_left_ = 0;  // to be sent behind out_
  uint64_t pattern_sent_ = 0;
  uint64_t chunked_left_ = 0;  // to be put into out_ in chunks
  State state_ = State::head;
  bool eof_ = false;

  // The current request.
  http::HeadScanner scanner_;
  http::RequestFraming framing_;  // its views are not used past the head
  http::ChunkedDecoder decoder_;
  OriginOrder order_;
  uint64_t body_left_ = 0;
  uint64_t body_bytes_ = 0;
  bool is_head_ = false;  // the method is HEAD
  bool http10_ = false;
  std::string echo_;  // the JSON but for its end
};

}  // namespace sluice::cli
