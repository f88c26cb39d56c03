#include "compress/encoder.h"

#include <brotli/decode.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <random>
#include <string>

using namespace sluice::compress;

namespace {

constexpr Coding kAll[] = {Coding::gzip, Coding::br, Coding::zstd};
constexpr Levels kLevels{5, 4, 3};

// What can be decoded of `encoded` so far.
std::string decoded(Coding coding, const std::string& encoded) {
  std::string out(4 << 20, 0);
  auto* next_in = reinterpret_cast<const uint8_t*>(encoded.data());
  auto* next_out = reinterpret_cast<uint8_t*>(out.data());
  size_t in_left = encoded.size();
  size_t out_left = out.size();
  if (coding == Coding::gzip) {
    z_stream stream{};
    REQUIRE(inflateInit2(&stream, MAX_WBITS + 16) == Z_OK);
    stream.next_in = const_cast<Bytef*>(next_in);
    stream.avail_in = static_cast<uInt>(in_left);
    stream.next_out = next_out;
    stream.avail_out = static_cast<uInt>(out_left);
    const int said = inflate(&stream, Z_NO_FLUSH);
    CHECK((said == Z_OK || said == Z_STREAM_END || said == Z_BUF_ERROR));
    out_left = stream.avail_out;
    inflateEnd(&stream);
  } else if (coding == Coding::br) {
    BrotliDecoderState* state = BrotliDecoderCreateInstance(nullptr, nullptr, nullptr);
    CHECK(BrotliDecoderDecompressStream(state, &in_left, &next_in, &out_left, &next_out, nullptr) !=
          BROTLI_DECODER_RESULT_ERROR);
    BrotliDecoderDestroyInstance(state);
  } else {
    ZSTD_DCtx* context = ZSTD_createDCtx();
    ZSTD_inBuffer from{encoded.data(), encoded.size(), 0};
    ZSTD_outBuffer to{out.data(), out.size(), 0};
    while (from.pos < from.size) REQUIRE(ZSTD_isError(ZSTD_decompressStream(context, &to, &from)) == 0);
    out_left = out.size() - to.pos;
    ZSTD_freeDCtx(context);
  }
  out.resize(out.size() - out_left);
  return out;
}

std::string encode(Encoder& encoder, std::string_view in, Encoder::Step step, size_t room = 1000) {
  std::string out;
  std::string piece(room, 0);
  for (bool more = true; more;) {
    const Encoder::Result result = encoder.run(in, step, piece);
    REQUIRE(result.ok);
    out.append(piece, 0, result.written);
    more = result.more;
  }
  CHECK(in.empty());
  return out;
}

std::string noise(size_t bytes) {
  std::mt19937 random(7);
  std::string text(bytes, 0);
  std::generate(text.begin(), text.end(), [&] { return static_cast<char>(random()); });
  return text;
}

}  // namespace

TEST_CASE("what was encoded in pieces is the same when it is decoded, with an encoder that is used again",
          "[compress]") {
  std::string text;
  for (int i = 0; i < 40000; ++i) text += "line " + std::to_string(i) + "\n";
  EncoderPool pool(kLevels, 1);
  for (const Coding coding : kAll) {
    for (const std::string& body : {text, noise(300'000), std::string(), std::string("x"), text}) {
      for (const size_t room : {size_t{7}, size_t{16384}}) {
        CAPTURE(name(coding), body.size(), room);
        auto encoder = pool.take(coding);
        REQUIRE(encoder != nullptr);
        std::string out;
        for (size_t at = 0; at < body.size(); at += 20'000) {
          out += encode(*encoder, std::string_view(body).substr(at, 20'000), Encoder::Step::go_on, room);
        }
        out += encode(*encoder, {}, Encoder::Step::finish, room);
        CHECK((decoded(coding, out) == body));
        CHECK(out.size() < body.size() + body.size() / 100 + 64);
        pool.give_back(coding, std::move(encoder));
      }
    }
  }
}

TEST_CASE("a piece that is flushed can be read at once", "[compress]") {
  EncoderPool pool(kLevels, 1);
  for (const Coding coding : kAll) {
    CAPTURE(name(coding));
    auto encoder = pool.take(coding);
    std::string out;
    std::string sent;
    for (int i = 0; i < 50; ++i) {
      const std::string event = "data: " + std::to_string(i) + "\n\n";
      sent += event;
      out += encode(*encoder, event, Encoder::Step::flush);
      CHECK(decoded(coding, out) == sent);
    }
    pool.give_back(coding, std::move(encoder));
  }
}

TEST_CASE("only so many encoders are lent, and a body that was left half-way leaves nothing in the next",
          "[compress]") {
  EncoderPool pool(kLevels, 2);
  for (const Coding coding : kAll) {
    CAPTURE(name(coding));
    auto one = pool.take(coding);
    auto other = pool.take(Coding::gzip);
    REQUIRE(one != nullptr);
    REQUIRE(other != nullptr);
    CHECK(pool.take(coding) == nullptr);
    encode(*one, "never finished", Encoder::Step::go_on);
    pool.give_back(coding, std::move(one));
    one = pool.take(coding);
    REQUIRE(one != nullptr);
    CHECK(decoded(coding, encode(*one, "new", Encoder::Step::finish)) == "new");
    pool.give_back(coding, std::move(one));
    pool.give_back(Coding::gzip, std::move(other));
  }
}

TEST_CASE("blocks are kept for the next of about their size, up to a bound", "[compress]") {
  BlockCache blocks;
  void* block = blocks.take(100'000);
  blocks.give_back(block);
  CHECK(blocks.kept_bytes() == 100'000);
  void* too_small_a_part = blocks.take(10'000);
  CHECK(blocks.kept_bytes() == 100'000);
  void* again = blocks.take(99'000);
  CHECK(again == block);
  CHECK(blocks.kept_bytes() == 0);
  blocks.give_back(again);
  blocks.give_back(too_small_a_part);
  std::vector<void*> many;
  for (int i = 0; i < 20; ++i) many.push_back(blocks.take(1 << 20));
  for (void* each : many) blocks.give_back(each);
  CHECK(blocks.kept_bytes() <= BlockCache::kMaxKept);
  CHECK(blocks.kept_bytes() > BlockCache::kMaxKept - (2 << 20));
  blocks.give_back(nullptr);
}
