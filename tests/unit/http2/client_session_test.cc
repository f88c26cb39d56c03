#include "http2/client_session.h"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

using namespace sluice;
using http2::ClientSession;

namespace {

std::string frame(uint8_t type, uint8_t flags, uint32_t stream, std::string_view payload) {
  std::string bytes;
  for (const int shift : {16, 8, 0}) bytes += static_cast<char>(payload.size() >> shift);
  bytes += static_cast<char>(type);
  bytes += static_cast<char>(flags);
  for (const int shift : {24, 16, 8, 0}) bytes += static_cast<char>(stream >> shift);
  return bytes.append(payload);
}

std::string number(uint32_t value) {
  std::string bytes;
  for (const int shift : {24, 16, 8, 0}) bytes += static_cast<char>(value >> shift);
  return bytes;
}

enum Type : uint8_t { DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE };
constexpr uint8_t kEndStream = 1, kEndHeaders = 4;

std::string settings(std::string_view entries = "") { return frame(SETTINGS, 0, 0, entries); }
// A field without indexing or Huffman code (RFC 7541 §6.2.2); shorter than 127 bytes each.
std::string field(std::string_view name, std::string_view value) {
  std::string bytes(1, '\0');
  for (const std::string_view text : {name, value}) bytes.append(1, static_cast<char>(text.size())).append(text);
  return bytes;
}
std::string headers(uint32_t stream, std::string_view fields, bool end = false) {
  return frame(HEADERS, kEndHeaders | (end ? kEndStream : 0), stream, fields);
}
const std::string kOk(1, '\x88');  // ":status: 200" by the static table

struct Frame {
  int type;
  int flags;
  uint32_t stream;
  std::string payload;
};

// What is written, one line an event.
struct Call final : ClientSession::Stream {
  void on_head(const http::ResponseHead& head, size_t) override {
    heard.push_back(std::to_string(head.status));
    for (const http::HeaderField& each : head.headers) {
      heard.push_back(std::string(each.name) + "=" + std::string(each.value));
      // The layout that the composer of heads relies on.
      CHECK(std::string_view(each.name.data(), each.name.size() + each.value.size() + 4) ==
            std::string(each.name) + ": " + std::string(each.value) + "\r\n");
    }
  }
  void on_body(std::string_view data) override { body += data; }
  void on_end(const http::HeaderMap& fields) override {
    heard.emplace_back("end");
    for (const http::HeaderField& each : fields)
      heard.push_back(std::string(each.name) + "=" + std::string(each.value));
  }
  void on_failed(Error error) override { heard.emplace_back(name(error.reason)); }
  Piece read_body(std::span<char> into) override {
    Piece piece;
    piece.bytes = std::min(into.size(), sends.size());
    std::copy_n(sends.data(), piece.bytes, into.data());
    sends.erase(0, piece.bytes);
    piece.last = ends && sends.empty();
    piece.trailers = trailers;
    return piece;
  }

  std::vector<std::string> heard;
  std::string body;
  std::string sends;
  std::string trailers;
  bool ends = true;
};

struct World {
  World() {
    written();
    REQUIRE(session.receive(settings() + frame(SETTINGS, 1, 0, "")));  // and it has seen ours
  }
  void request(Call& call, std::string_view head = "GET /a HTTP/1.1\r\nHost: h\r\n\r\n", bool has_body = false) {
    using Upload = ClientSession::Upload;
    REQUIRE(session.request(call, head, "http", has_body ? Upload::body : Upload::none));
  }
  // The frames since the last call; the connection's preface is skipped.
  std::vector<Frame> written() {
    Buffer out(blocks);
    session.write(out, 64 * 1024);
    std::string_view bytes = out.view();
    if (bytes.starts_with("PRI")) bytes.remove_prefix(24);
    std::vector<Frame> frames;
    const auto byte = [&](size_t at) { return static_cast<uint32_t>(static_cast<uint8_t>(bytes[at])); };
    while (!bytes.empty()) {
      const size_t size = byte(0) << 16 | byte(1) << 8 | byte(2);
      frames.push_back({static_cast<int>(byte(3)), static_cast<int>(byte(4)),
                        byte(5) << 24 | byte(6) << 16 | byte(7) << 8 | byte(8), std::string(bytes.substr(9, size))});
      bytes.remove_prefix(9 + size);
    }
    return frames;
  }
  bool receive(const std::string& bytes) {
    const bool good = session.receive(bytes);
    written();
    session.report();
    return good && !session.is_over();
  }

  BlockPool blocks;
  ClientSession session{blocks};
};

using Lines = std::vector<std::string>;

}  // namespace

TEST_CASE("a session is open once the server's settings came") {
  BlockPool blocks;
  ClientSession session(blocks);
  CHECK_FALSE(session.is_open());
  REQUIRE(session.receive(settings(std::string("\0\x03", 2) + number(7))));
  CHECK(session.is_open());
  CHECK(session.max_streams() == 7);
}

TEST_CASE("a response comes as a head, a body and an end") {
  World world;
  Call call;
  world.request(call);
  REQUIRE(world.written().back().type == HEADERS);
  REQUIRE(world.receive(headers(1, kOk + field("x-a", "b"))));
  REQUIRE(world.receive(frame(DATA, 0, 1, "hel")));
  CHECK(call.heard == Lines{"200", "x-a=b"});
  REQUIRE(world.receive(frame(DATA, kEndStream, 1, "lo")));
  CHECK(call.body == "hello");
  CHECK(call.heard.back() == "end");
}

TEST_CASE("a status below 100 or above 599 is none") {
  for (const char* status : {"000", "050", "099", "600", "999"}) {
    CAPTURE(status);
    World world;
    Call call;
    world.request(call);
    world.written();
    std::ignore = world.receive(headers(1, field(":status", status)) + frame(DATA, kEndStream, 1, "HTTP/1.1 200 OK"));
    CHECK(call.body.empty());
    CHECK(call.heard == Lines{"upstream_bad_response"});
  }
}

TEST_CASE("1xx heads come first and trailers last") {
  World world;
  Call call;
  world.request(call);
  world.written();
  REQUIRE(world.receive(headers(1, field(":status", "103") + field("link", "x")) + headers(1, kOk) +
                        frame(DATA, 0, 1, "a") + headers(1, field("x-sum", "1"), true)));
  CHECK(call.heard == Lines{"103", "link=x", "200", "end", "x-sum=1"});
}

TEST_CASE("a body leaves as the server's window allows, with trailers behind it") {
  World world;
  Call call;
  call.sends = std::string(70'000, 'x');
  call.trailers = "x-t: 1\r\nConnection: x\r\n\r\n";
  world.request(call, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", true);
  size_t sent = 0;
  const auto count = [&] {
    int last = -1;
    for (const Frame& each : world.written()) {
      if (each.type == DATA) sent += each.payload.size();
      last = each.type == HEADERS && (each.flags & kEndStream) != 0 ? HEADERS : each.type;
    }
    return last;
  };
  count(), count();
  CHECK(sent == 65'535);
  std::ignore = world.session.take_window_change();  // by the settings
  REQUIRE(
      world.session.receive(frame(WINDOW_UPDATE, 0, 0, number(10'000)) + frame(WINDOW_UPDATE, 0, 1, number(10'000))));
  CHECK(world.session.take_window_change());
  CHECK_FALSE(world.session.take_window_change());
  CHECK(count() == HEADERS);
  CHECK(sent == 70'000);
}

TEST_CASE("a stream's window opens by what was consumed, the connection's by what came") {
  World world;
  Call call;
  world.request(call);
  world.written();
  REQUIRE(world.session.receive(headers(1, kOk)));
  const std::string piece(16'000, 'x');
  for (int i = 0; i < 4; ++i) REQUIRE(world.session.receive(frame(DATA, 0, 1, piece)));
  for (const Frame& each : world.written()) CHECK_FALSE((each.type == WINDOW_UPDATE && each.stream == 1));
  world.session.consumed(call, call.body.size());
  const std::vector<Frame> frames = world.written();
  REQUIRE(frames.size() == 1);
  CHECK((frames[0].type == WINDOW_UPDATE && frames[0].stream == 1 && frames[0].payload == number(64'000)));

  Call other;
  world.request(other);
  world.written();
  // 40 windows of streams that nobody empties: the connection goes on.
  for (int i = 0; i < 40; ++i) {
    Call full;
    world.request(full);
    world.written();
    const auto stream = static_cast<uint32_t>(5 + 2 * i);
    REQUIRE(world.session.receive(headers(stream, kOk)));
    for (int j = 0; j < 4; ++j) REQUIRE(world.session.receive(frame(DATA, 0, stream, piece)));
    world.written();
    world.session.forget(full);
  }
  REQUIRE(world.receive(headers(3, kOk) + frame(DATA, kEndStream, 3, "y")));
  CHECK(other.body == "y");
}

TEST_CASE("GOAWAY: streams above the last one were refused, those below go on, and none is begun") {
  World world;
  Call first, second;
  world.request(first);
  world.request(second);
  world.written();
  REQUIRE(world.receive(frame(GOAWAY, 0, 0, number(1) + number(0))));
  CHECK(first.heard.empty());
  CHECK(second.heard == Lines{"upstream_refused"});
  CHECK_FALSE(world.session.is_open());
  CHECK_FALSE(world.receive(headers(1, kOk, true)));  // that was the last one
  CHECK(first.heard == Lines{"200", "end"});
}

TEST_CASE("GOAWAY before a request was written: it was refused") {
  World world;
  Call call;
  world.request(call);
  REQUIRE(world.session.receive(frame(GOAWAY, 0, 0, number(0) + number(0))));
  world.written();
  world.session.report();
  CHECK(call.heard == Lines{"upstream_refused"});
}

TEST_CASE("what was never written was refused, however the connection ends") {
  World world;
  Call sent, waiting;
  world.request(sent);
  world.written();
  world.request(waiting);
  SECTION("by GOAWAY, while the other one goes on") {
    REQUIRE(world.session.receive(frame(GOAWAY, 0, 0, number(1) + number(0))));
    world.session.report();
    CHECK(sent.heard.empty());
  }
  SECTION("by an end") {
    world.session.fail_all({Reason::upstream_reset, ""});
    world.session.report();
    CHECK(sent.heard == Lines{"upstream_reset"});
  }
  CHECK(waiting.heard == Lines{"upstream_refused"});
}

TEST_CASE("RST_STREAM tells why a response does not come") {
  const auto [code, reason] = GENERATE(table<uint32_t, const char*>({
      {NGHTTP2_REFUSED_STREAM, "upstream_refused"},
      {NGHTTP2_INTERNAL_ERROR, "upstream_reset"},
      {NGHTTP2_NO_ERROR, "upstream_reset"},
      {NGHTTP2_PROTOCOL_ERROR, "upstream_http2_error"},
  }));
  World world;
  Call call;
  world.request(call);
  world.written();
  REQUIRE(world.receive(frame(RST_STREAM, 0, 1, number(code))));
  CHECK(call.heard == Lines{reason});
}

TEST_CASE("behind its end only a tunnel's way up can fail") {
  const auto [tunnel, ends, resets] = GENERATE(
      table<bool, bool, bool>({{true, false, true}, {true, false, false}, {true, true, false}, {false, false, true}}));
  World world;
  Call call;
  call.ends = ends;
  using Upload = ClientSession::Upload;
  REQUIRE(world.session.request(call,
                                "GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
                                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
                                "http", tunnel ? Upload::tunnel : Upload::body));
  world.written();
  REQUIRE(world.receive(headers(1, kOk, true)));
  CHECK(call.heard == Lines{"200", "end"});
  if (resets) {
    REQUIRE(world.receive(frame(RST_STREAM, 0, 1, number(NGHTTP2_NO_ERROR))));
  } else {
    world.session.fail_all({Reason::upstream_reset, ""});
    world.session.report();
  }
  CHECK(call.heard == (tunnel && !ends ? Lines{"200", "end", "upstream_reset"} : Lines{"200", "end"}));
}

TEST_CASE("a response that breaks the rules fails alone") {
  const std::string bad = GENERATE(headers(1, field("x", "no status")), headers(1, kOk + field("connection", "close")),
                                   headers(1, kOk + field("content-length", "5"), true),
                                   headers(1, kOk + field("content-length", "5")) + frame(DATA, kEndStream, 1, "abc"),
                                   headers(1, kOk + field("content-length", "1")) + frame(DATA, 0, 1, "abc"),
                                   headers(1, field(":status", "101")));
  World world;
  Call call, other;
  world.request(call);
  world.request(other);
  world.written();
  CAPTURE(bad);
  REQUIRE(world.receive(bad));
  CHECK(call.heard.back() == "upstream_http2_error");
  REQUIRE(world.receive(headers(3, kOk, true)));
  CHECK(other.heard == Lines{"200", "end"});
}

TEST_CASE("a connection that breaks the rules is over, and the server hears why") {
  const std::string bad = GENERATE(
      frame(DATA, 0, 7, "idle"), frame(DATA, 0, 1, "before the head"), frame(SETTINGS, 0, 1, ""),
      frame(PING, 0, 0, "short"), frame(WINDOW_UPDATE, 0, 0, number(0)), frame(HEADERS, kEndHeaders, 1, "\xff\xff"),
      frame(PUSH_PROMISE, kEndHeaders, 1, number(2)), std::string("\xff\xff\xff\0\0\0\0\0\1", 9));
  World world;
  Call call;
  world.request(call);
  world.written();
  CAPTURE(bad);
  std::ignore = world.session.receive(bad);
  const std::vector<Frame> frames = world.written();
  REQUIRE_FALSE(frames.empty());
  CHECK(frames.back().type == GOAWAY);
  CHECK(world.session.is_over());
}

TEST_CASE("a head with too many fields or bytes fails its stream, and the next head is read right") {
  World world;
  Call call, other;
  world.request(call);
  world.request(other);
  world.written();
  std::string fields = kOk;
  SECTION("fields") {
    for (int i = 0; i < 257; ++i) fields += field("x", "y");
  }
  SECTION("bytes") {
    fields += std::string("\x40\x01x\x64", 4) + std::string(100, 'v');  // the table's newest, which is 62 from now on
    fields += std::string(1000, '\xbe');
  }
  REQUIRE(world.receive(headers(1, fields.substr(0, 16'000))));
  CHECK(call.heard == Lines{"upstream_head_too_large"});
  REQUIRE(world.receive(headers(3, kOk, true)));
  CHECK(other.heard == Lines{"200", "end"});
}

TEST_CASE("what is forgotten is cancelled, unless it is over") {
  World world;
  Call over, open;
  world.request(over);
  world.request(open);
  world.written();
  REQUIRE(world.receive(headers(1, kOk, true)));
  world.session.forget(over);
  CHECK(world.written().empty());
  world.session.forget(open);
  const std::vector<Frame> frames = world.written();
  REQUIRE(frames.size() == 1);
  CHECK((frames[0].type == RST_STREAM && frames[0].stream == 3 && frames[0].payload == number(NGHTTP2_CANCEL)));
  REQUIRE(world.receive(headers(3, kOk, true)));  // it was on its way
  CHECK(open.heard.empty());
}

TEST_CASE("the answers to a flood of pings are bounded") {
  World world;
  const std::string ping = frame(PING, 0, 0, "12345678");
  std::string flood;
  for (int i = 0; i < 2000; ++i) flood += ping;
  CHECK_FALSE(world.session.receive(flood));
}
