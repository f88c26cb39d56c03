#include "store/siphash.h"

#include <catch2/catch.hpp>
#include <string>

using namespace sluice::store;

// The key and messages of the paper's appendix A and of the reference implementation: bytes 0, 1, 2, ...
TEST_CASE("SipHash-2-4 gives the values of its authors") {
  constexpr HashKey kKey = {0x0706050403020100, 0x0f0e0d0c0b0a0908};
  constexpr uint64_t kValues[] = {0x726fdb47dd0e0e31, 0x74f839c593dc67fd, 0x0d6c8009d9a94f5a, 0x85676696d7fb7e2d,
                                  0xcf2794e0277187b7, 0x18765564cd99a68d, 0xcbc9466e58fee3ce, 0xab0200f58b01d137,
                                  0x93f5f5799a932462, 0x9e0082df0ba9e4b0, 0x7a5dbbc594ddb9f3, 0xf4b32f46226bada7,
                                  0x751e8fbc860ee5fb, 0x14ea5627c0843d90, 0xf723ca908e7af2ee, 0xa129ca6149be45e5};
  std::string message;
  for (const uint64_t value : kValues) {
    CAPTURE(message.size());
    CHECK(siphash<2, 4>(kKey, message) == value);
    message += static_cast<char>(message.size());
  }
}

TEST_CASE("SipHash-1-3 gives the values of Python's bytes under the key 0") {
  constexpr HashKey kZero = {0, 0};
  CHECK(siphash13(kZero, "a") == 0x407448d2b89b1813);
  CHECK(siphash13(kZero, "abcdefg") == 0x6db12aae9070f506);
  CHECK(siphash13(kZero, "abcdefgh") == 0x3f7b849c0b8e35ea);
  CHECK(siphash13(kZero, "abcdefghijklmno") == 0x1fd27a29b0e9dc7a);
}

TEST_CASE("another key gives other hashes") {
  CHECK(random_hash_key() != random_hash_key());
  CHECK(siphash13({1, 2}, "users") != siphash13({1, 3}, "users"));
}
