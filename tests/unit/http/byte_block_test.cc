#include "http/byte_block.h"

#include <catch2/catch.hpp>
#include <random>
#include <string>

using namespace sluice::http;

namespace {

template <typename Block>
void require_same_as_portable(const std::string& bytes) {
  const Block block = Block::load(bytes.data());
  const PortableBlock plain = PortableBlock::load(bytes.data());
  for (const char c : {'\r', ':', '%', '\0', '\xff'}) REQUIRE(block.equal(c) == plain.equal(c));
  REQUIRE(block.unusual() == plain.unusual());
  REQUIRE(block.not_visible() == plain.not_visible());
  REQUIRE(block.not_name() == plain.not_name());
  alignas(16) char text[kBlockBytes] = {'c', 'o', 'n', 't', 'e', 'n', 't', '-', 'l', 'e', 'n', 'g', 't', 'h'};
  alignas(16) char fold[kBlockBytes] = {' ', ' ', ' ', ' ', ' ', ' ', ' ', 0, ' ', ' ', ' ', ' ', ' ', ' '};
  REQUIRE(block.equal_folded(text, fold) == plain.equal_folded(text, fold));
}

}  // namespace

TEST_CASE("the vector block answers every question as the portable one does, for every byte at every place") {
  for (int byte = 0; byte < 256; ++byte) {
    for (size_t at = 0; at < kBlockBytes; ++at) {
      std::string bytes = "Content-Length: ";
      bytes[at] = static_cast<char>(byte);
      require_same_as_portable<ByteBlock>(bytes);
    }
  }
}

TEST_CASE("the portable block's classes are those of the grammar") {
  for (int byte = 0; byte < 256; ++byte) {
    const std::string bytes(kBlockBytes, static_cast<char>(byte));
    const PortableBlock block = PortableBlock::load(bytes.data());
    const bool control = byte < 0x20 || byte == 0x7f;
    CAPTURE(byte);
    CHECK((block.unusual() == 0xffff) == (control || byte >= 0x80));
    CHECK((block.not_visible() == 0xffff) == (control || byte == ' ' || byte >= 0x80));
    CHECK((block.not_name() == 0) == (byte_class::is_alnum(byte) || byte == '-'));
  }
}

TEST_CASE("find_in_blocks finds the first match at every distance from the start and the end") {
  for (size_t size = 0; size < 70; ++size) {
    for (size_t from = 0; from <= size; ++from) {
      for (size_t place = 0; place <= size; ++place) {
        // A match before `from` must not count, though the last block may look at it.
        std::string text(size, 'x');
        if (from > 0) text[from - 1] = '\r';
        if (place < size) text[place] = '\r';
        const size_t expected = std::min(text.find('\r', from), size);
        const std::string exact = text;  // its own allocation: the sanitizer sees a byte too many
        REQUIRE(find_in_blocks(exact, from, [](ByteBlock block) { return block.equal('\r'); }) == expected);
        REQUIRE(find_in_blocks<PortableBlock>(exact, from, [](PortableBlock block) { return block.equal('\r'); }) ==
                expected);
      }
    }
  }
}
