#include "http2/head_block.h"

#include <array>
#include <catch2/catch.hpp>

using namespace sluice;
using namespace sluice::http2;

TEST_CASE("a block is lines of HTTP/1.1, with the fields as views into them") {
  BlockPool blocks;
  HeadBlock block(blocks);
  block.add("host", "a.test");
  block.add("x-empty", "");
  CHECK(block.text() == "host: a.test\r\nx-empty: \r\n");
  CHECK(block.bytes() == block.text().size());
  std::array<http::HeaderField, 2> fields;
  const http::HeaderMap map = block.map(fields);
  REQUIRE(map.size() == 2);
  CHECK(map.value(http::HeaderId::host) == "a.test");
  CHECK(map.fields()[1].name == "x-empty");
  CHECK(map.fields()[1].value.empty());
  block.clear();
  CHECK(block.fields() == 0);
  CHECK(block.bytes() == 0);
}

TEST_CASE("a field that came twice counts as repeated") {
  BlockPool blocks;
  HeadBlock block(blocks);
  block.add("content-length", "1");
  block.add("content-length", "1");
  block.add("host", "a");
  std::array<http::HeaderField, 3> fields;
  const http::HeaderMap map = block.map(fields);
  CHECK(map.repeated(http::HeaderId::content_length));
  CHECK_FALSE(map.repeated(http::HeaderId::host));
}

TEST_CASE("cookies become one field, in their order, and a single one stays where it is") {
  struct Row {
    std::vector<std::pair<std::string, std::string>> fields;
    std::string joined;
  };
  const Row rows[] = {
      {{{"x", "1"}, {"y", "2"}}, "x=1 y=2 "},
      {{{"cookie", "a=1"}, {"x", "1"}}, "cookie=a=1 x=1 "},
      {{{"cookie", "a=1"}, {"x", "1"}, {"cookie", "b=2"}, {"cookie", "c=3"}, {"y", "2"}},
       "x=1 y=2 cookie=a=1; b=2; c=3 "},
      {{{"cookie", ""}, {"cookie", "b"}}, "cookie=b "},
  };
  for (const Row& row : rows) {
    BlockPool blocks;
    HeadBlock block(blocks);
    for (const auto& [name, value] : row.fields) block.add(name, value);
    block.join_cookies();
    std::vector<http::HeaderField> fields(block.fields());
    std::string got;
    for (const http::HeaderField& field : block.map(fields)) {
      got.append(field.name).append("=").append(field.value).append(" ");
    }
    CHECK(got == row.joined);
  }
}

TEST_CASE("what frames HTTP/1.1 does not become a field of HTTP/2") {
  BlockPool blocks;
  HeadBlock block(blocks);
  for (const char* name : {"connection", "transfer-encoding", "keep-alive", "proxy-connection", "upgrade", "host",
                           "x-a", "content-length", "te"}) {
    block.add(name, "1");
  }
  std::vector<http::HeaderField> fields(block.fields());
  std::vector<nghttp2_nv> sent;
  append_fields(block.map(fields), sent);
  std::string names;
  for (const nghttp2_nv& each : sent) names.append(reinterpret_cast<const char*>(each.name), each.namelen).append(" ");
  CHECK(names == "x-a content-length te ");
}
