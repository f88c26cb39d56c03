#include "http2/server_session.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <map>
#include <memory>
#include <vector>

using namespace sluice;
using namespace sluice::http2;

namespace {

using Fields = std::vector<std::pair<std::string, std::string>>;
enum Type : uint8_t { kData, kHeaders, kPriority, kRst, kSettings, kPush, kPing, kGoaway, kWindow, kContinuation };
constexpr uint8_t kEndStream = 1, kEndHeaders = 4, kPadded = 8;

std::string number(uint32_t value, int bytes = 4) {
  std::string out;
  while (bytes-- > 0) out += static_cast<char>(value >> (8 * bytes));
  return out;
}

std::string frame(uint8_t type, uint8_t flags, uint32_t stream, const std::string& payload = "") {
  return number(static_cast<uint32_t>(payload.size()), 3) + static_cast<char>(type) + static_cast<char>(flags) +
         number(stream) + payload;
}

/// Literals without indexing; none is longer than 126 bytes.
std::string block(const Fields& fields) {
  std::string out;
  for (const auto& [name, value] : fields) {
    out += '\0';
    out += static_cast<char>(name.size()) + name;
    out += static_cast<char>(value.size()) + value;
  }
  return out;
}

std::string request(uint32_t stream, bool ends = true, const Fields& more = {}, const char* method = "GET") {
  Fields fields = {{":method", method}, {":scheme", "http"}, {":authority", "a.test"}, {":path", "/"}};
  fields.insert(fields.end(), more.begin(), more.end());
  return frame(kHeaders, static_cast<uint8_t>(kEndHeaders | (ends ? kEndStream : 0)), stream, block(fields));
}

struct Frame {
  uint8_t type, flags;
  uint32_t stream;
  std::string payload;
  [[nodiscard]] uint32_t code() const {
    const std::string last = payload.substr(type == kGoaway ? 4 : 0, 4);
    uint32_t value = 0;
    for (const char byte : last) value = value << 8 | static_cast<uint8_t>(byte);
    return value;
  }
};

struct Stream final : ServerStream {
  void on_request(const Result<http::RequestHead>& head, const RequestFacts& facts) override {
    reason = head ? Reason::none : head.error().reason;
    if (head) target = head->target;
    ended = facts.ends;
    early = facts.early;
  }
  void on_data(std::string_view data) override { body += data; }
  void on_end(std::string_view text, size_t) override {
    ended = true;
    trailers = text;
  }
  void on_stream_closed() override { closed = true; }
  Offer offer() override { return {answer.size(), last, nullptr}; }
  void take(size_t bytes, Buffer& out) override {
    out.append(std::string_view(answer).substr(0, bytes));
    answer.erase(0, bytes);
  }
  void on_end_sent() override { end_sent = true; }

  Reason reason = Reason::internal_error;
  std::string target, body, trailers, answer;
  bool ended = false, early = false, closed = false, last = false, end_sent = false;
};

/// A session whose client has said hello.
struct Peer final : ServerSession::Handler {
  Peer() { send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(kSettings, 0, 0) + frame(kSettings, 1, 0)); }

  /// What the session answers.
  std::vector<Frame> send(const std::string& bytes) {
    if (!session.is_over()) session.receive(bytes, now);
    return sent();
  }
  std::vector<Frame> sent(size_t limit = 1 << 16) {
    std::vector<Frame> frames;
    session.write(out, limit);
    std::string_view rest = out.view();
    while (!rest.empty()) {
      const auto byte = [&](size_t at) { return static_cast<uint32_t>(static_cast<uint8_t>(rest[at])); };
      const size_t length = byte(0) << 16 | byte(1) << 8 | byte(2);
      frames.push_back({static_cast<uint8_t>(byte(3)), static_cast<uint8_t>(byte(4)),
                        byte(5) << 24 | byte(6) << 16 | byte(7) << 8 | byte(8), std::string(rest.substr(9, length))});
      rest.remove_prefix(9 + length);
    }
    out.clear();
    return frames;
  }
  Stream& stream(int32_t id) {
    REQUIRE(streams.count(id) == 1);
    return *streams[id];
  }

  http::HeadLimits head_limits() override { return limits; }
  std::span<http::HeaderField> field_scratch() override { return room; }
  ServerStream& open_stream(int32_t id) override { return *(streams[id] = std::make_unique<Stream>()); }
  void on_stream_error() override { ++errors; }

  http::HeadLimits limits;
  std::vector<http::HeaderField> room = std::vector<http::HeaderField>(300);
  std::map<int32_t, std::unique_ptr<Stream>> streams;
  int errors = 0;
  MonoTime now{Seconds(1)};
  BlockPool blocks;
  Buffer out{blocks};
  ServerSession session{*this, blocks, 10};
};

const Frame* find(const std::vector<Frame>& frames, uint8_t type) {
  for (const Frame& each : frames) {
    if (each.type == type) return &each;
  }
  return nullptr;
}

http::HeaderMap no_fields() { return {}; }

}  // namespace

TEST_CASE("a request arrives with its body and trailers") {
  Peer peer;
  peer.send(request(1, false, {}, "POST") + frame(kData, 0, 1, "ab") +
            frame(kData, kPadded, 1, std::string("\2c\0\0", 4)) +
            frame(kHeaders, kEndHeaders | kEndStream, 1, block({{"x-sum", "3"}})));
  const Stream& stream = peer.stream(1);
  CHECK(stream.reason == Reason::none);
  CHECK(stream.target == "/");
  CHECK(stream.body == "abc");
  CHECK(stream.ended);
  CHECK(stream.trailers == "x-sum: 3\r\n\r\n");
  CHECK_FALSE(stream.closed);
}

TEST_CASE("a request is early if some of its head came as early data") {
  Peer peer;
  const std::string two = request(3, true);
  peer.session.receive(request(1, true) + two.substr(0, 9), peer.now, true);
  peer.session.receive(two.substr(9) + request(5, true), peer.now, false);
  CHECK(peer.stream(1).early);
  CHECK(peer.stream(3).early);
  CHECK_FALSE(peer.stream(5).early);
}

TEST_CASE("an answer goes out as far as the client's window allows, and its end is told when it went out") {
  Peer peer;
  peer.send(frame(kSettings, 0, 0, number(4, 2) + number(3)) + request(1));
  Stream& stream = peer.stream(1);
  stream.answer = "hello";
  stream.last = true;
  peer.session.respond(1, 200, no_fields(), false);
  std::vector<Frame> frames = peer.sent();
  REQUIRE(frames.size() == 2);
  CHECK(frames[0].type == kHeaders);
  CHECK(frames[1].payload == "hel");
  CHECK_FALSE(stream.end_sent);
  frames = peer.send(frame(kWindow, 0, 1, number(9)));
  REQUIRE(frames.size() == 1);
  CHECK(frames[0].payload == "lo");
  CHECK(frames[0].flags == kEndStream);
  CHECK(stream.end_sent);
  CHECK(stream.closed);
}

TEST_CASE("an answer without a body ends with its head, and no reset takes that away once it went out") {
  Peer peer;
  peer.send(request(1, false));
  peer.session.respond(1, 204, no_fields(), true);
  CHECK_FALSE(peer.stream(1).end_sent);
  const std::vector<Frame> frames = peer.sent();
  REQUIRE(frames.size() == 1);
  CHECK(frames[0].flags == (kEndHeaders | kEndStream));
  CHECK(peer.stream(1).end_sent);
  peer.session.reset(1, ErrorCode::no_error);
  CHECK(find(peer.sent(), kRst)->code() == 0);
  CHECK(peer.stream(1).closed);
  CHECK(peer.errors == 0);
}

// All sessions of a thread make their frames in one buffer (SessionMemory).
TEST_CASE("a head of several frames goes out whole, whoever writes next") {
  Peer one;
  Peer other;
  const auto answer = [](Peer& peer, char filling) {
    peer.send(request(1));
    const std::string value(20'000, filling);
    std::vector<http::HeaderField> fields;
    for (const char* name : {"x-a", "x-b", "x-c"}) fields.push_back({name, value, http::HeaderId::other});
    peer.session.respond(1, 200, http::HeaderMap(fields), true);
  };
  answer(one, '~');  // which is longer as a Huffman code, so that it stands there as it is
  answer(other, '^');
  const auto write_one = [](Peer& peer, char filling) {
    const std::vector<Frame> frames = peer.sent(1);
    REQUIRE(frames.size() == 4);
    CHECK(frames.front().type == kHeaders);
    CHECK(frames.back().type == kContinuation);
    CHECK(frames.back().flags == kEndHeaders);
    size_t count = 0;
    for (const Frame& each : frames)
      count += static_cast<size_t>(std::count(each.payload.begin(), each.payload.end(), filling));
    CHECK(count == 60'000);
  };
  write_one(one, '~');
  write_one(other, '^');
}

TEST_CASE("a session that rests gives memory back, and goes on after that") {
  Peer peer;
  const auto pass = [&](uint32_t first, uint32_t count) {
    for (uint32_t id = first; id < first + 2 * count; id += 2) peer.send(request(id));
    CHECK_FALSE(peer.session.rest());  // there are streams in its table
    for (uint32_t id = first; id < first + 2 * count; id += 2) {
      peer.session.respond(static_cast<int32_t>(id), 200, no_fields(), true);
    }
    const std::vector<Frame> frames = peer.sent();
    CHECK(frames.size() == count);
    CHECK(frames.back().flags == (kEndHeaders | kEndStream));
  };
  pass(1, 1);
  CHECK(peer.session.rest());
  CHECK(peer.session.rest());
  pass(3, 10);
  CHECK(peer.session.rest());
  pass(23, 10);
}

TEST_CASE("a stream's window opens again when its data was consumed, the connection's at once") {
  Peer peer;
  peer.send(request(1, false, {}, "POST"));
  for (int i = 0; i < 40; ++i) {  // 640 KiB, over what a stream may have
    for (const Frame& each : peer.send(frame(kData, 0, 1, std::string(16 * 1024, 'x')))) {
      if (each.type == kRst) {
        CHECK(i == ServerSession::kStreamWindow / (16 * 1024));
        CHECK(peer.stream(1).body.size() <=
              ServerSession::kStreamWindow + 16 * 1024);  // nghttp2 hands on what broke the rule
        CHECK(peer.errors == 1);
        return;
      }
      if (each.type == kWindow) CHECK(each.stream == 0);
    }
  }
  FAIL("the window was never at its end");
}

TEST_CASE("what was consumed may come again") {
  Peer peer;
  peer.send(request(1, false, {}, "POST"));
  peer.send(frame(kData, 0, 1, std::string(16 * 1024, 'x')) + frame(kData, 0, 1, std::string(16 * 1024, 'x')) +
            frame(kData, 0, 1, std::string(16 * 1024, 'x')) + frame(kData, 0, 1, std::string(16 * 1024, 'x')) +
            frame(kData, 0, 1, std::string(16 * 1024, 'x')));
  peer.session.consume(1, 80 * 1024);
  const std::vector<Frame> frames = peer.sent();
  REQUIRE(frames.size() == 1);
  CHECK(frames[0].type == kWindow);
  CHECK(frames[0].stream == 1);
  CHECK(frames[0].code() == 80 * 1024);
}

TEST_CASE("a malformed request ends its stream and nobody hears of it") {
  for (const Fields& bad :
       {Fields{{"X", "1"}}, Fields{{"x", "a\nb"}}, Fields{{"connection", "close"}}, Fields{{"te", "gzip"}}}) {
    Peer peer;
    const std::vector<Frame> frames = peer.send(request(1, true, bad));
    REQUIRE(find(frames, kRst) != nullptr);
    CHECK(find(frames, kRst)->code() == 1);
    CHECK(peer.streams.empty());
    CHECK(peer.errors == 1);
    CHECK_FALSE(peer.session.is_over());
  }
}

TEST_CASE("trailers past the limits end their stream") {
  Peer peer;
  peer.limits.fields = 3;
  peer.send(request(1, false, {}, "POST"));
  const std::vector<Frame> frames =
      peer.send(frame(kHeaders, kEndHeaders | kEndStream, 1, block({{"a", "1"}, {"b", "1"}, {"c", "1"}, {"d", "1"}})));
  CHECK(find(frames, kRst)->code() == 1);
  CHECK_FALSE(peer.stream(1).ended);
  CHECK(peer.stream(1).closed);
}

TEST_CASE("an error of the connection is its end, once it was told") {
  Peer peer;
  const std::vector<Frame> frames = peer.send(frame(kPing, 0, 0, "short"));
  CHECK(find(frames, kGoaway)->code() == 6);
  CHECK(peer.session.is_over());
  CHECK(peer.session.why() == Reason::http2_error);
  CHECK_FALSE(peer.session.wants_write());
}

TEST_CASE("floods end the connection, the same number over a long time does not") {
  struct Row {
    const char* what;
    std::string (*make)(uint32_t);
    int many;
  };
  const Row rows[] = {
      {"PING", [](uint32_t) { return frame(kPing, 0, 0, "12345678"); }, 1001},
      {"SETTINGS", [](uint32_t) { return frame(kSettings, 0, 0); }, 1001},
      {"reset", [](uint32_t n) { return request(2 * n + 1) + frame(kRst, 0, 2 * n + 1, number(8)); }, 201},
      {"malformed",
       [](uint32_t n) {
         return request(2 * n + 1, true, {{"X", ""}});
       },
       201},
      {"lying length",
       [](uint32_t n) {
         return request(2 * n + 1, false, {{"content-length", "9"}}, "POST") + frame(kData, kEndStream, 2 * n + 1);
       },
       201},
  };
  for (const Row& row : rows) {
    INFO(row.what);
    Peer fast;
    int sent = 0;
    while (!fast.session.is_over() && sent < 10'000) fast.send(row.make(static_cast<uint32_t>(sent++)));
    CHECK(fast.session.why() == Reason::http2_flood);
    CHECK(sent <= row.many);
    CHECK(sent > row.many - 10);
    Peer slow;
    for (uint32_t i = 0; i < 900 && !slow.session.is_over(); ++i) {
      slow.now += Millis(60);
      slow.send(row.make(i));
    }
    CHECK_FALSE(slow.session.is_over());
  }
}

TEST_CASE("the end is announced first, and told with the last stream then") {
  Peer peer;
  peer.session.announce_end();
  std::vector<Frame> frames = peer.send(request(1));
  CHECK(find(frames, kGoaway)->payload.substr(0, 4) == number(0x7fffffff));
  CHECK(peer.stream(1).reason == Reason::none);
  peer.session.end();
  frames = peer.send(request(3));  // before GOAWAY went out
  CHECK(find(frames, kGoaway)->payload.substr(0, 4) == number(1));
  CHECK(find(frames, kRst)->stream == 3);
  CHECK(find(frames, kRst)->code() == 7);
  CHECK(peer.streams.count(3) == 0);
  CHECK_FALSE(peer.session.is_over());
  peer.session.respond(1, 204, no_fields(), true);
  peer.sent();
  CHECK(peer.session.is_over());
  CHECK(peer.session.why() == Reason::keepalive_done);
}
