// ClientSession: our side of one connection of HTTP/2 to a server, without the socket (RFC 9113). Its owner hands it what was read and
// sends what it writes; requests go in as heads of HTTP/1.1, and responses come out as such. nghttp2 keeps the rules; what an
// endpoint can make us keep is bounded here: fields of a head, windows, answers to pings. Worker thread only.
//
// Nothing is called back from inside any function but receive() and report() (and read_body() from write()); from inside of receive()
// neither it nor write() or report() may be called.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/buffer.h"
#include "base/intrusive_list.h"
#include "base/result.h"
#include "http/message.h"
#include "http2/head_block.h"
#include "http2/library.h"

namespace sluice::http2 {

class ClientSession {
 public:
  struct StreamTag;
  /// One request and its response: what its owner makes, and keeps until forget().
  class Stream : public ListNode<StreamTag> {
   public:
    virtual ~Stream() = default;

    /// Any number of 1xx, then the final one; valid during the call only.
    virtual void on_head(const http::ResponseHead& head, size_t bytes) = 0;
    /// `data` is valid until receive() returns. What was taken is to be told to consumed().
    virtual void on_body(std::string_view data) = 0;
    virtual void on_end(const http::HeaderMap& trailers) = 0;
    /// The response does not come, or breaks off: upstream_refused (not processed), upstream_reset, upstream_http2_error,
    /// upstream_head_too_large. Behind on_end() only of a tunnel whose way up is open: nobody takes any more.
    virtual void on_failed(Error error) = 0;

    /// Moves as much as there is of the request's body to `into`; from write(), and only if the request has one, or is a tunnel.
    struct Piece {
      size_t bytes = 0;
      bool last = false;
      std::string_view trailers;  // behind the last one: lines, and an empty one
    };
    virtual Piece read_body(std::span<char> into) = 0;

   private:
    friend class ClientSession;
    int32_t id_ = 0;
    bool ended_ = false;
    bool may_send_ = false;  // behind the response's end too: a tunnel, until its last byte
    Error failure_{Reason::none, ""};
  };

  static constexpr uint32_t kStreamWindow = 64 * 1024;
  static constexpr uint32_t kConnectionWindow = 1024 * 1024;

  explicit ClientSession(BlockPool& blocks);
  ClientSession(const ClientSession&) = delete;
  ClientSession& operator=(const ClientSession&) = delete;

  /// Takes what was read. False if no more can be taken.
  [[nodiscard]] bool receive(std::string_view bytes);
  /// Appends what is to be sent, until `out` has `most` bytes or a frame more.
  void write(Buffer& out, size_t most);
  /// Tells streams of what failed since.
  void report();

  /// What goes up behind a request's head. `tunnel`: the head asks for an Upgrade to WebSocket, and becomes an extended CONNECT
  /// (RFC 8441), if the server takes_tunnels().
  enum class Upload : uint8_t { none, body, tunnel };
  /// Begins `stream`, whose request `head` says; false if the connection takes no more.
  [[nodiscard]] bool request(Stream& stream, std::string_view head, std::string_view scheme, Upload upload);
  /// There is something for read_body() again.
  void resume_body(const Stream& stream);
  /// So much of the response's body was taken that the server may send as much again.
  void consumed(const Stream& stream, size_t bytes);
  /// `stream` hears nothing more; what is not over yet of it is cancelled.
  void forget(Stream& stream);
  /// Asks for a sign of life: what comes then, comes to receive().
  void ping();
  /// All streams fail: with `error`, or as refused if their requests were never written.
  void fail_all(Error error);
  /// Says goodbye.
  void close();

  /// The server's settings came: it does speak HTTP/2.
  [[nodiscard]] bool is_greeted() const { return greeted_; }
  /// It takes further requests.
  [[nodiscard]] bool is_open() const;
  /// It takes extended CONNECTs.
  [[nodiscard]] bool takes_tunnels() const;
  /// Of streams at a time, as the server says.
  [[nodiscard]] uint32_t max_streams() const;
  [[nodiscard]] bool is_going_away() const { return going_away_; }
  /// Once write() has nothing more: the connection is to be closed.
  [[nodiscard]] bool is_over() const { return nghttp2_session_want_read(session_.get()) == 0; }
  /// What was wrong with what the server sent.
  [[nodiscard]] const char* failure() const { return failure_; }
  /// A window may have become larger; it is said once.
  [[nodiscard]] bool take_window_change() { return std::exchange(window_changed_, false); }

 private:
  static nghttp2_session_callbacks* callbacks();
  Stream* find(int32_t id);
  void fail(Stream& stream, Error error);
  [[nodiscard]] bool was_written(const Stream& stream) const;
  void refuse_unwritten();
  void on_head_complete(Stream& stream, bool ends);
  void end(Stream& stream, const http::HeaderMap& trailers);

  int on_begin_headers();
  int on_header(const nghttp2_frame& frame, std::string_view name, std::string_view value);
  int on_frame(const nghttp2_frame& frame);
  int on_data(int32_t id, std::string_view data);
  int on_stream_close(int32_t id, uint32_t code);
  int on_frame_not_sent(const nghttp2_frame& frame);
  int on_invalid_frame(const nghttp2_frame& frame, int error);
  ssize_t read_body(int32_t id, std::span<char> into, uint32_t* flags);

  SessionPtr session_;
  IntrusiveList<Stream, StreamTag> streams_;
  HeadBlock block_;
  std::vector<http::HeaderField> fields_;       // of the head that a stream hears of
  std::vector<http::HeaderField> sent_fields_;  // of what is sent meanwhile
  std::vector<nghttp2_nv> pairs_;
  const char* failure_ = "";
  uint16_t status_ = 0;  // of the head that is being read
  bool greeted_ = false;
  bool going_away_ = false;
  bool window_changed_ = false;
  bool has_failures_ = false;
};

}  // namespace sluice::http2
