#include "http/chunked.h"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "http/parser.h"

using namespace sluice;
using namespace sluice::http;

namespace {

struct Outcome {
  bool done = false;
  bool refused = false;
  std::string body;
  std::string trailers;
  size_t consumed = 0;

  bool operator==(const Outcome&) const = default;
};

// Feeds the pieces one after the other, as a relay does.
Outcome decode(const std::vector<std::string>& pieces) {
  ChunkedDecoder decoder;
  Outcome outcome;
  for (const std::string& piece : pieces) {
    std::string_view rest = piece;
    while (!rest.empty() && !outcome.done) {
      const auto step = decoder.next(rest);
      if (!step) {
        CHECK(step.error().reason == Reason::bad_chunk);
        return {.refused = true};
      }
      REQUIRE(step->consumed > 0);  // or else a relay would wait for bytes that it has
      outcome.body += step->data;
      outcome.consumed += step->consumed;
      outcome.done = step->done;
      rest.remove_prefix(step->consumed);
    }
  }
  if (outcome.done) outcome.trailers = decoder.trailers();
  return outcome;
}

// The outcome, after checking that no way of cutting the bytes in two, nor byte by byte, changes it.
Outcome decode_all_ways(const std::string& bytes) {
  const Outcome whole = decode({bytes});
  std::vector<std::string> each_byte;
  for (size_t cut = 0; cut < bytes.size(); ++cut) {
    INFO("cut at " << cut << " of " << bytes);
    CHECK(decode({bytes.substr(0, cut), bytes.substr(cut)}) == whole);
    each_byte.push_back(bytes.substr(cut, 1));
  }
  CHECK(decode(each_byte) == whole);
  return whole;
}

}  // namespace

TEST_CASE("a chunked body gives its payload, wherever the reads were cut") {
  struct Row {
    std::string bytes;
    std::string body;
    std::string trailers;
  };
  const Row rows[] = {
      {"0\r\n\r\n", "", ""},
      {"5\r\nhello\r\n0\r\n\r\n", "hello", ""},
      {"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", "hello world", ""},
      {"A\r\n0123456789\r\n0\r\n\r\n", "0123456789", ""},
      {"a\r\n0123456789\r\n0\r\n\r\n", "0123456789", ""},
      {"0000000000000005\r\nhello\r\n0000000000000000\r\n\r\n", "hello", ""},
      {"4\r\n\r\n\r\n\r\n0\r\n\r\n", "\r\n\r\n", ""},  // payload that looks like framing
      {"5;name=value\r\nhello\r\n0;last\r\n\r\n", "hello", ""},
      {"5;a=\"quoted; \\\" \t\"\r\nhello\r\n0\r\n\r\n", "hello", ""},
      {"5;\r\nhello\r\n0;;;\r\n\r\n", "hello", ""},  // what is not understood is ignored
      {"0\r\nDigest: x\r\n\r\n", "", "Digest: x\r\n\r\n"},
      {"1\r\nx\r\n0\r\nA: b\r\nC:\tcaf\xc3\xa9\r\n\r\n", "x", "A: b\r\nC:\tcaf\xc3\xa9\r\n\r\n"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.bytes);
    const Outcome outcome = decode_all_ways(row.bytes);
    CHECK(outcome.done);
    CHECK(outcome.body == row.body);
    CHECK(outcome.trailers == row.trailers);
    CHECK(outcome.consumed == row.bytes.size());
    // What follows is the next message's, pipelined.
    const Outcome followed = decode({row.bytes + "GET / HTTP/1.1\r\n"});
    CHECK(followed.done);
    CHECK(followed.consumed == row.bytes.size());
  }
}

TEST_CASE("an unfinished body is neither done nor refused") {
  const std::string body = "5;x\r\nhello\r\n0\r\nA: b\r\n\r\n";
  for (size_t size = 0; size < body.size(); ++size) {
    const Outcome outcome = decode({body.substr(0, size)});
    CAPTURE(size);
    CHECK_FALSE(outcome.done);
    CHECK_FALSE(outcome.refused);
    CHECK(outcome.consumed == size);
  }
}

TEST_CASE("malformed chunks are refused, wherever the reads were cut") {
  const std::string nul(1, '\0');
  const std::string rows[] = {
      "\r\n",  // no size
      ";ext\r\n",
      "g\r\n",
      " 5\r\nhello\r\n",
      "5 \r\nhello\r\n",
      "5\t;x\r\nhello\r\n",
      "+5\r\nhello\r\n",
      "-5\r\nhello\r\n",
      "0x5\r\nhello\r\n",
      "5h\r\nhello\r\n",
      "5,5\r\nhello\r\n",
      "00000000000000005\r\nhello\r\n",  // 17 digits
      "10000000000000005\r\nhello\r\n",  // 5 after 64 bits overflow
      "5\nhello\r\n",                    // bare LF
      "5\rhello\r\n",
      "5\r\rhello\r\n",
      "5;a\nhello\r\n",  // bare LF ends an extension for some
      "5;a\rb\r\nhello\r\n",
      "5;a=\"\n\"\r\nhello\r\n",
      "5;a" + nul + "\r\nhello\r\n",
      "5;\x7f\r\nhello\r\n",
      "5\r\nhello0\r\n\r\n",  // no CR LF behind the payload
      "5\r\nhello\n0\r\n\r\n",
      "5\r\nhello\r0\r\n\r\n",
      "5\r\nhelloX\r\n0\r\n\r\n",  // longer than its size
      "5\r\nhell\r\n0\r\n\r\n",    // shorter
      "0\n\r\n",
      "0\r\n\n",
      "0\r\nA: b\n\r\n",  // trailers: the same byte rules as in a head
      "0\r\nA: b\r\r\n",
      "0\r\nA: \x01\r\n\r\n",
      "0\r\nA: b\r\n folded\r\n\r\n",
      "0\r\n A: b\r\n\r\n",
      "0\r\nA: b\r\n\n",
  };
  for (const std::string& bytes : rows) {
    CAPTURE(bytes);
    CHECK(decode_all_ways(bytes).refused);
  }
}

TEST_CASE("the largest size is 16 digits, and its payload streams") {
  ChunkedDecoder decoder;
  const auto step = decoder.next("ffffffffffffffff\r\npayload");
  REQUIRE(step);
  CHECK(step->data == "payload");
  CHECK_FALSE(step->done);
}

TEST_CASE("size lines, extensions and trailers are bounded") {
  const std::string x(300, 'x');
  CHECK(decode({"5;" + x.substr(0, 254) + "\r\nhello\r\n0\r\n\r\n"}).done);  // 256 bytes
  CHECK(decode({"5;" + x.substr(0, 255) + "\r\nhello\r\n0\r\n\r\n"}).refused);
  CHECK(decode({"5;" + x}).refused);  // without waiting for the line's end

  // One-byte chunks with long extensions: the body limit would see one byte of each 200.
  std::string padded;
  for (int i = 0; i < 200; ++i) padded += "1;" + x.substr(0, 200) + "\r\nx\r\n";
  CHECK(decode({padded + "0\r\n\r\n"}).refused);

  std::string many = "0\r\n";
  for (uint32_t i = 0; i < ChunkedDecoder::kMaxTrailerFields; ++i) many += "A: b\r\n";
  CHECK(decode({many + "\r\n"}).done);
  CHECK(decode({many + "A: b\r\n\r\n"}).refused);

  const std::string large(ChunkedDecoder::kMaxTrailerBytes - 7,
                          'x');  // with "A: ", CR LF and CR LF: exactly the limit
  CHECK(decode({"0\r\nA: " + large + "\r\n\r\n"}).done);
  CHECK(decode({"0\r\nA: " + large + "x\r\n\r\n"}).refused);
  CHECK(decode({"0\r\nA: " + large + "xxxx"}).refused);
}

TEST_CASE("many chunks reset the bounds of a single line") {
  std::string bytes;
  for (int i = 0; i < 1000; ++i) bytes += "000000000000000a;x\r\n0123456789\r\n";
  const Outcome outcome = decode({bytes + "0\r\n\r\n"});
  CHECK(outcome.done);
  CHECK(outcome.body.size() == 10'000);
}

TEST_CASE("trailers are counted and can be parsed") {
  ChunkedDecoder decoder;
  CHECK(decoder.next("0\r\nDigest: x\r\nServer-Timing: y\r\n\r\n")->done);
  REQUIRE(decoder.trailer_fields() == 2);
  std::array<HeaderField, 2> fields;
  CHECK(parse_fields(decoder.trailers(), fields)->find("digest")->value == "x");

  ChunkedDecoder none;
  CHECK(none.next("0\r\n\r\n")->done);
  CHECK(none.trailer_fields() == 0);
  CHECK(none.trailers().empty());
}

TEST_CASE("after the end nothing more is consumed") {
  ChunkedDecoder decoder;
  CHECK(decoder.next("0\r\n\r\n")->done);
  const auto after = decoder.next("5\r\n");
  CHECK(after->consumed == 0);
  CHECK(after->done);
}

TEST_CASE("a chunk head is the size in hexadecimal") {
  const std::pair<uint64_t, std::string> rows[] = {
      {0, "0\r\n"},
      {1, "1\r\n"},
      {15, "f\r\n"},
      {16, "10\r\n"},
      {255, "ff\r\n"},
      {65536, "10000\r\n"},
      {0x1234, "1234\r\n"},
      {0xabcdef, "abcdef\r\n"},
      {UINT64_MAX, "ffffffffffffffff\r\n"},
  };
  for (const auto& [bytes, text] : rows) {
    char out[18];
    CHECK(std::string_view(out, write_chunk_head(bytes, out)) == text);
  }
}
