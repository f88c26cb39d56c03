// What plugins may change of a head.
#include "filter/header_edit.h"

#include <catch2/catch.hpp>
#include <vector>

using namespace sluice;
using namespace sluice::filter;
using http::HeaderField;
using http::HeaderMap;

TEST_CASE("names that are no tokens, or the gateway's, are refused, also where they look like a known one") {
  for (const std::string_view name :
       {"", "a b", "a:", "X-A\r\nX-B", "Server:\r\nSet-Cookie:a=~", "server:\r&", "date:", "date:xxxxxxxxxxx",
        "via:;;;;", "Host", "content-length", "Transfer-Encoding", "te", "Connection", "Early-Data"}) {
    CAPTURE(name);
    CHECK_FALSE(is_editable(name));
    BlockPool blocks;
    Arena arena(blocks);
    std::vector<HeaderField> fields{{"X-A", "1"}};
    HeaderMap map(fields);
    CHECK_FALSE(set_header(map, arena, name, "v"));
    CHECK_FALSE(add_header(map, arena, name, "v"));
    CHECK_FALSE(remove_header(map, name));
    CHECK(map.size() == 1);
  }
  for (const std::string_view name : {"Server", "date", "X-A", "via", "x_a", "!#$%&'*+-.^_`|~"}) {
    CAPTURE(name);
    CHECK(is_editable(name));
  }
}

TEST_CASE("a field is set in the place of all of its name") {
  BlockPool blocks;
  Arena arena(blocks);
  std::vector<HeaderField> fields{{"X-A", "1"}, {"Server", "s", http::header_id("server")}, {"x-a", "2"}};
  HeaderMap map(fields);
  REQUIRE(set_header(map, arena, "X-a", "3"));
  REQUIRE(set_header(map, arena, "SERVER", "t"));
  REQUIRE(add_header(map, arena, "X-A", "4"));
  CHECK_FALSE(set_header(map, arena, "X-A", "a\r\nb"));
  REQUIRE(map.size() == 3);
  CHECK(map.find("x-a")->value == "3");
  CHECK(map.find("server")->value == "t");
  CHECK(map.fields().back().value == "4");
  REQUIRE(remove_header(map, "x-a"));
  CHECK(map.size() == 1);
}
