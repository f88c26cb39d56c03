#include <array>
#include <catch2/catch.hpp>

#include "basic-auth/failure_limit.h"
#include "common/base64.h"
#include "common/sha256.h"
#include "common/verdict_cache.h"

using namespace sluice;
using namespace std::chrono_literals;

TEST_CASE("base64 is decoded strictly", "[common]") {
  const auto decoded = [](std::string_view text) -> std::string {
    static std::array<char, 16> out;
    const auto bytes = decode_base64(text, out);
    return bytes ? std::string(*bytes) : "malformed";
  };
  CHECK(decoded("").empty());
  CHECK(decoded("Zg==") == "f");
  CHECK(decoded("Zm8=") == "fo");
  CHECK(decoded("Zm9v") == "foo");
  CHECK(decoded("Zm9vYg==") == "foob");
  CHECK(decoded("++//") == "\xfb\xef\xff");
  for (const std::string_view bad : {"Zg", "Zg=", "Zg===", "Z===", "====", "Zh==", "Zm9=", "Zm 8", "Zm-_", "Zm9v\n",
                                     "=Zm9", "Zg==Zg==", "AAAAAAAAAAAAAAAAAAAAAAAA"}) {
    CAPTURE(bad);
    CHECK(decoded(bad) == "malformed");
  }
}

TEST_CASE("base64 for URLs is written without padding", "[common]") {
  const auto encoded = [](std::string_view bytes) {
    std::array<char, 16> out;
    CHECK(encode_base64url(bytes, out).size() == base64url_size(bytes.size()));
    return std::string(encode_base64url(bytes, out));
  };
  CHECK(encoded("").empty());
  CHECK(encoded("f") == "Zg");
  CHECK(encoded("fo") == "Zm8");
  CHECK(encoded("foo") == "Zm9v");
  CHECK(encoded("foob") == "Zm9vYg");
  CHECK(encoded("\xfb\xef\xff") == "--__");
}

TEST_CASE("SHA-256 of pieces is that of the whole", "[common]") {
  const Sha256 sha256;
  const auto abc = parse_digest("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015AD");
  REQUIRE(abc);
  CHECK(sha256({"a", "bc"}) == *abc);
  CHECK(sha256({"abc"}) == *abc);
  CHECK(sha256({}) != *abc);
  CHECK_FALSE(parse_digest("ba78"));
  CHECK_FALSE(parse_digest("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ag"));
  CHECK(random_digest() != random_digest());
  CHECK(equal_in_constant_time("abc", "abc"));
  CHECK_FALSE(equal_in_constant_time("abc", "abd"));
  CHECK_FALSE(equal_in_constant_time("abc", "abcd"));
}

TEST_CASE("what was found of credentials is known for a while, and the table never grows", "[basic-auth]") {
  VerdictCache cache;
  const Digest key = random_digest();
  CHECK_FALSE(cache.find(key, 1s));
  cache.put(key, 7, 10s);
  CHECK(cache.find(key, 9s) == 7u);
  CHECK_FALSE(cache.find(key, 10s));
  cache.put(key, 7, 1000s);
  size_t known = 0;
  std::vector<Digest> keys;
  for (int i = 0; i < 5000; ++i) cache.put(keys.emplace_back(random_digest()), 1, 100s);
  for (const Digest& each : keys) known += cache.find(each, 1s).has_value();
  CHECK(known <= VerdictCache::kSets * VerdictCache::kWays);
  CHECK(known > 900);
  CHECK(cache.find(key, 1s) == 7u);  // it ends last
}

TEST_CASE("a client may be wrong ten times, then once a second", "[basic-auth]") {
  basic_auth::FailureLimit limit;
  const basic_auth::Time now = 1000s;
  for (int i = 0; i < 10; ++i) {
    CHECK(limit.wait(3, now) == 0s);
    limit.failed(3, now);
  }
  CHECK(limit.wait(3, now) == 1s);
  CHECK(limit.wait(4, now) == 0s);
  CHECK(limit.wait(3, now + 400ms) == 600ms);
  CHECK(limit.wait(3, now + 1s) == 0s);
  limit.failed(3, now + 1s);
  CHECK(limit.wait(3, now + 1s) == 1s);
  CHECK(limit.wait(3, now + 1h) == 0s);
}

TEST_CASE("hashes take a fifth of the time at most", "[basic-auth]") {
  basic_auth::TimeBudget budget;
  CHECK(budget.has_some(1000s));
  budget.take(499ms);
  CHECK(budget.has_some(1000s));
  budget.take(101ms);
  CHECK_FALSE(budget.has_some(1000s));
  CHECK_FALSE(budget.has_some(1000s + 400ms));
  CHECK(budget.has_some(1000s + 600ms));
  CHECK(budget.has_some(2000s));
  budget.take(500ms);
  CHECK_FALSE(budget.has_some(2000s));
}
