#include "http/message.h"

#include <array>
#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "base/arena.h"

using namespace sluice;
using namespace sluice::http;

TEST_CASE("every known method is found by its exact name only") {
#define SL_ROW(row)                        \
  CHECK(method_from(#row) == Method::row); \
  CHECK(name(Method::row) == #row);
  SL_METHODS(SL_ROW)
#undef SL_ROW
  for (const char* text : {"", "get", "Get", "GE", "GETT", "GET ", "PROPFINDER", "BREW"}) {
    CHECK(method_from(text) == Method::unknown);
  }
}

TEST_CASE("safe methods are idempotent, and POST and PATCH are neither") {
  for (unsigned i = 0; i < static_cast<unsigned>(Method::unknown); ++i) {
    const auto method = static_cast<Method>(i);
    if (is_safe(method)) CHECK(is_idempotent(method));
  }
  CHECK(is_safe(Method::GET));
  CHECK(is_safe(Method::HEAD));
  CHECK_FALSE(is_safe(Method::DELETE));
  CHECK(is_idempotent(Method::PUT));
  CHECK(is_idempotent(Method::DELETE));
  CHECK_FALSE(is_idempotent(Method::POST));
  CHECK_FALSE(is_idempotent(Method::PATCH));
  CHECK_FALSE(is_idempotent(Method::CONNECT));
  CHECK_FALSE(is_idempotent(Method::unknown));
}

namespace {
constexpr std::pair<HeaderId, std::string_view> kHeaders[] = {
#define SL_ROW(name, text) {HeaderId::name, text},
    SL_HEADERS(SL_ROW)
#undef SL_ROW
};

std::string upper(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 0x20);
  }
  return out;
}
}  // namespace

TEST_CASE("a known field name is found in any case") {
  for (const auto& [id, text] : kHeaders) {
    CAPTURE(text);
    CHECK(header_id(text) == id);
    CHECK(header_id(upper(text)) == id);
    std::string mixed(text);
    mixed[0] = upper(text)[0];
    CHECK(header_id(mixed) == id);
  }
}

TEST_CASE("a name that differs from a known one in any single byte is not that one") {
  for (const auto& [id, text] : kHeaders) {
    for (size_t at = 0; at < text.size(); ++at) {
      for (int byte = 0; byte < 256; ++byte) {
        std::string changed(text);
        changed[at] = static_cast<char>(byte);
        const bool same_but_case = upper(changed) == upper(text);
        CAPTURE(text, at, byte);
        REQUIRE((header_id(changed) == id) == same_but_case);
      }
    }
    CHECK(header_id(text.substr(1)) != id);
    CHECK(header_id(std::string(text) + "s") != id);
  }
  CHECK(header_id("") == HeaderId::other);
  CHECK(header_id(std::string(1000, 'x')) == HeaderId::other);
}

TEST_CASE("a header map finds the first field by id or by name, counts, and knows what is repeated") {
  std::array<HeaderField, 4> fields = {
      HeaderField{"Host", "a", HeaderId::host}, HeaderField{"X-Custom", "1", HeaderId::other},
      HeaderField{"Cookie", "b", HeaderId::cookie}, HeaderField{"cookie", "c", HeaderId::cookie}};
  const HeaderMap map(fields);
  CHECK(map.size() == 4);
  CHECK(map.has(HeaderId::host));
  CHECK_FALSE(map.has(HeaderId::via));
  CHECK(map.find(HeaderId::via) == nullptr);
  CHECK(map.find(HeaderId::cookie)->value == "b");
  CHECK(map.value(HeaderId::host) == "a");
  CHECK(map.value(HeaderId::via).empty());
  CHECK(map.find("HOST")->value == "a");
  CHECK(map.find("x-custom")->value == "1");
  CHECK(map.find("x-custom2") == nullptr);
  CHECK(map.count(HeaderId::cookie) == 2);
  CHECK(map.count(HeaderId::host) == 1);
  CHECK(map.count(HeaderId::via) == 0);
  CHECK(map.repeated(HeaderId::cookie));
  CHECK_FALSE(map.repeated(HeaderId::host));
}

TEST_CASE("standard phrases are those of the registry") {
  CHECK(phrase_of(200) == "OK");
  CHECK(phrase_of(100) == "Continue");
  CHECK(phrase_of(404) == "Not Found");
  CHECK(phrase_of(431) == "Request Header Fields Too Large");
  CHECK(phrase_of(511) == "Network Authentication Required");
  CHECK(phrase_of(299) == "Unknown");
  CHECK(phrase_of(999) == "Unknown");
}

TEST_CASE("fields are taken out of a map and put behind it, and it knows which ids are there") {
  BlockPool blocks;
  Arena arena(blocks);
  std::vector<HeaderField> fields{
      {"Host", "h", HeaderId::host}, {"X-A", "1"}, {"Accept", "a", header_id("accept")}, {"x-a", "2"}};
  HeaderMap map(fields);
  map.remove("X-a");
  CHECK(map.size() == 2);
  CHECK(map.find("x-a") == nullptr);
  CHECK(map.find("x-b") == nullptr);
  CHECK(map.find("accept", header_id("accept"))->value == "a");
  map.remove("not there");
  for (int i = 0; i < 20; ++i) map.append({"X-B", "3", HeaderId::other}, arena);
  map.append({"host", "again", HeaderId::host}, arena);
  CHECK(map.size() == 23);
  CHECK(map.repeated(HeaderId::host));
  CHECK(map.find("accept")->value == "a");
  map.remove("host");
  CHECK_FALSE(map.has(HeaderId::host));
  CHECK(map.size() == 21);
  CHECK(map.fields().back().name == "X-B");
}
