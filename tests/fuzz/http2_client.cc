// A session of HTTP/2 with an endpoint that sends anything behind its settings, while requests of every kind are made of it, read slowly and
// given up, as the input's first bytes say. What comes in is cut as they say too. A response is a row of heads, a body and an end
// that HTTP/1.1 can say, or a failure, and nothing behind it; what is unread stays within the window; what is sent is a row of
// whole frames.
#include <map>
#include <memory>
#include <string>

#include "frames.h"
#include "head.h"
#include "http/framing.h"
#include "http2/client_session.h"

using namespace sluice;
using http2::ClientSession;

namespace {

constexpr std::string_view kSettings("\0\0\0\4\0\0\0\0\0", 9);
constexpr size_t kChoices = 16;
constexpr size_t kMostStreams = 20;
constexpr size_t kMostHeadBytes = 64 * 1024;

class Owner;

class Stream final : public ClientSession::Stream {
 public:
  Stream(Owner& owner, bool tunnel) : owner_(owner), tunnel_(tunnel) {}

  void on_head(const http::ResponseHead& head, size_t bytes) override;
  void on_body(std::string_view data) override;
  void on_end(const http::HeaderMap& trailers) override;
  void on_failed(Error error) override;
  Piece read_body(std::span<char> into) override;

  void act();
  void give_up();
  [[nodiscard]] bool is_gone() const { return gone_; }

 private:
  void check_alive() const { FUZZ_CHECK(!gone_ && !over_); }

  Owner& owner_;
  bool tunnel_;
  size_t unread_ = 0;
  bool answered_ = false;
  bool over_ = false;
  bool gone_ = false;
  bool sent_all_ = false;
};

class Owner final {
 public:
  explicit Owner(std::string_view choices) : choices_(choices), session_(blocks_), out_(blocks_) {}
  ~Owner() {
    for (auto& stream : streams_) stream->give_up();
  }

  uint8_t choose() {
    const size_t at = next_++;
    return static_cast<uint8_t>(static_cast<size_t>(choices_[at % choices_.size()]) + at / choices_.size());
  }
  ClientSession& session() { return session_; }

  // False if the connection is over.
  bool receive(std::string_view bytes) {
    const bool good = session_.receive(bytes);
    if (choose() % 8 != 0) write();  // or the socket is full
    const bool over = !good || session_.is_over();
    if (over) session_.fail_all({Reason::upstream_reset, ""});
    session_.report();
    if (over) return false;
    for (auto& stream : streams_) stream->act();
    std::erase_if(streams_, [](const auto& stream) { return stream->is_gone(); });
    if (session_.is_open() && streams_.size() < kMostStreams && choose() % 2 == 0) request();
    if (choose() == 255) session_.ping();
    return true;
  }

 private:
  void request() {
    using Upload = ClientSession::Upload;
    const auto upload = static_cast<Upload>(choose() % 3);
    auto stream = std::make_unique<Stream>(*this, upload == Upload::tunnel);
    const std::string_view head =
        upload == Upload::tunnel ? "GET /w HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
                                   "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        : choose() % 16 == 0     ? "HEAD /a HTTP/1.1\r\nHost: h\r\n\r\n"
                                 : "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nX-A: b\r\n\r\n";
    if (session_.request(*stream, head, "http", upload)) streams_.push_back(std::move(stream));
  }

  // All that there is to write, as whole frames.
  void write() {
    constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    for (int round = 0; round < 100; ++round) {
      session_.write(out_, 64 * 1024);
      if (out_.empty()) return;
      std::string_view rest = out_.view();
      if (!std::exchange(greeted_, true)) {
        FUZZ_CHECK(rest.starts_with(kPreface));
        rest.remove_prefix(kPreface.size());
      }
      fuzz::check_frames(rest);
      out_.clear();
    }
  }

  std::string_view choices_;
  size_t next_ = 0;
  bool greeted_ = false;
  BlockPool blocks_;
  ClientSession session_;
  Buffer out_;
  std::vector<std::unique_ptr<Stream>> streams_;
};

void check_fields(const http::HeaderMap& fields) {
  for (const http::HeaderField& field : fields) {
    FUZZ_CHECK(http::is_token(field.name) && http::is_field_value(field.value));
    FUZZ_CHECK(field.id == http::header_id(field.name));
    // Composers of heads copy whole lines.
    FUZZ_CHECK(std::string_view(field.name.data(), field.name.size() + field.value.size() + 4) ==
               std::string(field.name) + ": " + std::string(field.value) + "\r\n");
  }
}

void Stream::on_head(const http::ResponseHead& head, size_t bytes) {
  check_alive();
  FUZZ_CHECK(!answered_ && head.status >= 100 && head.status <= 599 && head.status != 101);
  FUZZ_CHECK(bytes <= kMostHeadBytes);
  answered_ = head.status >= 200;
  check_fields(head.headers);
  const auto written = fuzz::write_head(head);
  std::vector<http::HeaderField> room(head.headers.size());
  const auto again = http::parse_response(written, room);
  FUZZ_CHECK(again && again->status == head.status);
  fuzz::check_same(again->headers, head.headers);
  std::ignore = http::response_framing(head, http::Method::GET);
  if (owner_.choose() % 16 == 0) give_up();
}

void Stream::on_body(std::string_view data) {
  check_alive();
  FUZZ_CHECK(answered_);
  unread_ += data.size();
  FUZZ_CHECK(unread_ <= ClientSession::kStreamWindow);
  if (owner_.choose() % 16 == 0) give_up();
}

void Stream::on_end(const http::HeaderMap& trailers) {
  check_alive();
  FUZZ_CHECK(answered_);
  over_ = true;
  check_fields(trailers);
  if (owner_.choose() % 2 == 0) give_up();
}

void Stream::on_failed(Error error) {
  FUZZ_CHECK(!gone_ && (!over_ || (tunnel_ && !sent_all_)));
  FUZZ_CHECK(error.reason != Reason::none);
  over_ = true;
  if (owner_.choose() % 2 == 0) give_up();
}

ClientSession::Stream::Piece Stream::read_body(std::span<char> into) {
  FUZZ_CHECK(!gone_ && !sent_all_);
  Piece piece;
  piece.bytes = std::min<size_t>(into.size(), owner_.choose() * 64U);
  std::fill_n(into.data(), piece.bytes, 'x');
  piece.last = sent_all_ = owner_.choose() % 4 == 0;
  if (sent_all_ && owner_.choose() % 2 == 0) piece.trailers = "x-sum: 1\r\n\r\n";
  return piece;
}

void Stream::act() {
  if (gone_) return;
  const uint8_t choice = owner_.choose();
  if (choice % 32 == 0) return give_up();
  if (choice % 4 == 1) return owner_.session().resume_body(*this);
  const size_t read = std::min<size_t>(unread_, choice * 64U);
  unread_ -= read;
  owner_.session().consumed(*this, read);
}

void Stream::give_up() {
  if (std::exchange(gone_, true)) return;
  owner_.session().forget(*this);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < kChoices) return 0;
  std::string_view bytes(reinterpret_cast<const char*>(data), size);
  Owner owner(bytes.substr(0, kChoices));
  bytes.remove_prefix(kChoices);
  bool goes_on = owner.receive(kSettings);
  while (goes_on && !bytes.empty()) {
    const std::string piece(bytes.substr(0, 1 + owner.choose()));  // memory of its own: a byte too many is noticed
    bytes.remove_prefix(piece.size());
    goes_on = owner.receive(piece);
  }
  return 0;
}
