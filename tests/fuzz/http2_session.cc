// A session of HTTP/2 whose client sends anything behind a good preface, and whose requests are answered in every way that the
// proxy knows, as the input's first bytes say. What comes in is cut as they say too. A request that is handed on must be one
// that HTTP/1.1 can say; what is unread stays within the window; and what is sent is a row of whole frames.
#include <array>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "frames.h"
#include "head.h"
#include "http/framing.h"
#include "http/parser.h"
#include "http/uri.h"
#include "http2/server_session.h"

using namespace sluice;

namespace {

constexpr http::HeadLimits kLimits{.first_line_bytes = 200, .head_bytes = 2000, .fields = 30};
constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
constexpr std::string_view kSettings("\0\0\0\4\0\0\0\0\0", 9);
constexpr size_t kChoices = 8;

// What no reader of HTTP/1.1 would refuse, or read in another way.
void check_as_http1(const http::RequestHead& head) {
  const auto framing = http::request_framing(head);
  const auto target = http::parse_target(head.target, head.method);
  if (!framing || !target) return;  // the proxy refuses it
  const std::string written = fuzz::write_head(head);
  http::HeadScanner scanner;
  std::array<http::HeaderField, kLimits.fields + http2::kAddedFields> fields;
  http::RequestHead again;
  const http::HeadLimits wide{.first_line_bytes = 8192, .head_bytes = 8192, .fields = fields.size()};
  const auto length = http::read_request(written, wide, scanner, fields, again);
  FUZZ_CHECK(length && *length == written.size());
  FUZZ_CHECK(again.method == head.method && again.target == head.target);
  FUZZ_CHECK(again.headers.size() == head.headers.size());
  for (size_t i = 0; i < again.headers.size(); ++i) {
    const http::HeaderField &left = again.headers.fields()[i], &right = head.headers.fields()[i];
    FUZZ_CHECK(left.name == right.name && left.value == right.value && left.id == right.id);
  }
  const auto framing_again = http::request_framing(again);
  FUZZ_CHECK(framing_again && framing_again->host == framing->host);
  FUZZ_CHECK(framing_again->body.kind == framing->body.kind && framing_again->body.length == framing->body.length);
}

class Client;

class Stream final : public http2::ServerStream {
 public:
  Stream(Client& client, int32_t id) : client_(client), id_(id) {}

  void on_request(const Result<http::RequestHead>& head, const http2::RequestFacts& facts) override;
  void on_data(std::string_view data) override;
  void on_end(std::string_view trailers, size_t fields) override;
  void on_stream_closed() override;
  Offer offer() override;
  void take(size_t bytes, Buffer& out) override;
  void on_end_sent() override { end_sent_ = true; }

  void act();
  [[nodiscard]] bool closed() const { return closed_; }

 private:
  Client& client_;
  int32_t id_;
  size_t unread_ = 0;
  size_t left_ = 0;  // of the answer's body
  bool begun_ = false;
  bool answered_ = false;
  bool last_ = false;
  bool ended_ = false;
  bool end_sent_ = false;
  bool closed_ = false;
};

class Client final : private http2::ServerSession::Handler {
 public:
  explicit Client(std::string_view choices) : choices_(choices), session_(*this, blocks_, 10), out_(blocks_) {}

  uint8_t choose() { return static_cast<uint8_t>(choices_[next_++ % choices_.size()]); }
  http2::ServerSession& session() { return session_; }

  void receive(std::string_view bytes) {
    if (session_.is_over()) return;
    now_ += Millis(choose());
    session_.receive(bytes, now_);
    for (auto& [id, stream] : streams_) stream->act();
    write();
    for (auto each = streams_.begin(); each != streams_.end();)
      each = each->second->closed() ? streams_.erase(each) : std::next(each);
  }

  std::array<http::HeaderField, 2> two{{{"x-a", "1", http::HeaderId::other}, {"X-B", "two", http::HeaderId::other}}};
  http::HeaderMap fields{two, 0, 0};

 private:
  http::HeadLimits head_limits() override { return kLimits; }
  std::span<http::HeaderField> field_scratch() override { return scratch_; }
  http2::ServerStream& open_stream(int32_t id) override {
    auto& stream = streams_[id];
    FUZZ_CHECK(stream == nullptr);
    stream = std::make_unique<Stream>(*this, id);
    return *stream;
  }
  void on_stream_error() override {}

  // All that there is to write, as whole frames.
  void write() {
    for (int round = 0; round < 100; ++round) {
      session_.write(out_, 64 * 1024);
      if (out_.empty()) return;
      fuzz::check_frames(out_.view());
      out_.clear();
    }
  }

  std::string_view choices_;
  size_t next_ = 0;
  BlockPool blocks_;
  MonoTime now_{};
  std::array<http::HeaderField, kLimits.fields + http2::kAddedFields> scratch_;
  std::map<int32_t, std::unique_ptr<Stream>> streams_;
  http2::ServerSession session_;
  Buffer out_;
};

void Stream::on_request(const Result<http::RequestHead>& head, const http2::RequestFacts& facts) {
  FUZZ_CHECK(!begun_ && !closed_);
  begun_ = true;
  ended_ = facts.ends;
  if (head) {
    FUZZ_CHECK(facts.text.size() <= kLimits.head_bytes + 200);
    check_as_http1(*head);
  }
  if (client_.choose() % 2 == 0) act();
}

void Stream::on_data(std::string_view data) {
  FUZZ_CHECK(begun_ && !closed_ && !ended_);
  unread_ += data.size();
  FUZZ_CHECK(unread_ <= http2::ServerSession::kStreamWindow + 16384);  // the frame that breaks the rule comes too
  if (client_.choose() % 2 == 0) act();
}

void Stream::on_end(std::string_view trailers, size_t fields) {
  FUZZ_CHECK(begun_ && !closed_ && !ended_);
  ended_ = true;
  if (!trailers.empty()) {
    std::vector<http::HeaderField> room(fields);
    const auto parsed = http::parse_fields(trailers, room);
    FUZZ_CHECK(parsed && parsed->size() == fields);
  }
}

void Stream::on_stream_closed() {
  FUZZ_CHECK(!closed_);
  closed_ = true;
}

http2::ServerStream::Offer Stream::offer() {
  FUZZ_CHECK(answered_ && !closed_);
  return {left_, last_, last_ && client_.choose() % 2 == 0 ? &client_.fields : nullptr};
}

void Stream::take(size_t bytes, Buffer& out) {
  FUZZ_CHECK(bytes <= left_ && !end_sent_);
  left_ -= bytes;
  constexpr std::string_view kPiece("................................................................");
  for (; bytes > 0; bytes -= std::min(bytes, kPiece.size())) out.append(kPiece.substr(0, bytes));
}

void Stream::act() {
  if (closed_) return;
  http2::ServerSession& session = client_.session();
  switch (client_.choose() % 8) {
    case 0:
      if (!answered_) session.inform(id_, 103, client_.fields);
      break;
    case 1:
    case 2: {
      if (answered_) break;
      answered_ = true;
      last_ = client_.choose() % 3 == 0;
      session.respond(id_, 200, client_.fields, last_);
      break;
    }
    case 3:
      if (!answered_ || last_) break;
      left_ += client_.choose() * 100U;
      last_ = client_.choose() % 2 == 0;
      session.resume(id_);
      break;
    case 4:
      session.reset(id_, client_.choose() % 2 == 0 ? http2::ErrorCode::cancel : http2::ErrorCode::no_error);
      break;
    case 5:
    case 6: {
      const size_t read = std::min<size_t>(unread_, client_.choose() * 64U);
      unread_ -= read;
      session.consume(id_, read);
      break;
    }
    default:
      if (client_.choose() == 255) session.announce_end();
      if (client_.choose() == 255) session.end();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < kChoices) return 0;
  std::string_view bytes(reinterpret_cast<const char*>(data), size);
  Client client(bytes.substr(0, kChoices));
  bytes.remove_prefix(kChoices);
  client.receive(kPreface);
  client.receive(kSettings);
  while (!bytes.empty()) {
    const std::string piece(bytes.substr(0, 1 + client.choose()));  // memory of its own: a byte too many is noticed
    bytes.remove_prefix(piece.size());
    client.receive(piece);
  }
  return 0;
}
