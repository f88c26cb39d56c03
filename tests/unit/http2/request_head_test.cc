#include "http2/request_head.h"

#include <catch2/catch.hpp>
#include <vector>

using namespace sluice;
using namespace sluice::http2;

namespace {

using Fields = std::vector<std::pair<std::string, std::string>>;

const Fields kGet = {{":method", "GET"}, {":scheme", "https"}, {":authority", "a.test"}, {":path", "/x"}};

Fields with(Fields fields, const Fields& more) {
  fields.insert(fields.end(), more.begin(), more.end());
  return fields;
}

Fields changed(Fields fields, const std::string& name, const std::string& value) {
  for (auto& field : fields) {
    if (field.first == name) field.second = value;
  }
  return fields;
}

/// A block that was read to its end.
struct Read {
  explicit Read(const Fields& fields, bool ends = true, http::HeadLimits with_limits = {}) : limits(with_limits) {
    request.begin(limits, lines);
    for (const auto& [name, value] : fields) request.add(name, value);
    head = request.finish(ends, room);
  }
  [[nodiscard]] Reason reason() const { return head ? Reason::none : head.error().reason; }
  [[nodiscard]] std::string field(std::string_view name) const {
    std::string all;
    for (const http::HeaderField& each : head->headers) {
      if (each.name == name) all.append(all.empty() ? "" : "|").append(each.value);
    }
    return all;
  }

  http::HeadLimits limits;
  BlockPool blocks;
  HeadBlock lines{blocks};
  RequestBlock request;
  std::vector<http::HeaderField> room = std::vector<http::HeaderField>(200);
  Result<http::RequestHead> head = Reason::none;
};

}  // namespace

TEST_CASE("a block becomes the head that HTTP/1.1 would have sent") {
  const Read read(with(kGet, {{"x-a", "1"}}));
  REQUIRE(read.head);
  CHECK(read.head->version == http::Version::http2);
  CHECK(read.head->method == http::Method::GET);
  CHECK(read.head->target == "/x");
  CHECK(read.field("host") == "a.test");
  CHECK(read.field("x-a") == "1");
  CHECK(read.field("transfer-encoding").empty());
  CHECK_FALSE(read.request.is_connect());
}

TEST_CASE("a body whose length is not told is chunked") {
  CHECK(Read(kGet, false).field("transfer-encoding") == "chunked");
  CHECK(Read(with(kGet, {{"content-length", "5"}}), false).field("transfer-encoding").empty());
}

TEST_CASE("Host beside :authority must say the same") {
  CHECK(Read(with(kGet, {{"host", "A.test"}})).field("host") == "a.test");
  CHECK(Read(with(kGet, {{"host", "b.test"}})).reason() == Reason::bad_host);
  CHECK(Read(changed(kGet, ":authority", "")).reason() == Reason::bad_host);
}

TEST_CASE("what a pseudo-header may say") {
  struct Row {
    const char* name;
    const char* value;
    Reason reason;
  };
  const Row rows[] = {
      {":scheme", "http", Reason::none},       {":scheme", "HTTPS", Reason::none},
      {":scheme", "ftp", Reason::bad_target},  {":path", "*", Reason::bad_target},
      {":path", "x", Reason::bad_target},      {":path", "http://a/", Reason::bad_target},
      {":method", "BREW", Reason::bad_method}, {":method", "get", Reason::bad_method},
  };
  for (const Row& row : rows) {
    INFO(row.name << " " << row.value);
    CHECK(Read(changed(kGet, row.name, row.value)).reason() == row.reason);
  }
  CHECK(Read(changed(changed(kGet, ":method", "OPTIONS"), ":path", "*")).head->target == "*");
}

TEST_CASE("the limits count what HTTP/1.1 would have sent") {
  const http::HeadLimits few{.first_line_bytes = 10, .head_bytes = 100, .fields = 2};
  CHECK(Read(with(kGet, {{"a", "1"}, {"b", "2"}}), true, few).reason() == Reason::none);
  CHECK(Read(with(kGet, {{"a", "1"}, {"b", "2"}, {"c", "3"}}), true, few).reason() == Reason::too_many_headers);
  CHECK(Read(changed(kGet, ":path", "/234567890"), true, few).reason() == Reason::none);
  CHECK(Read(changed(kGet, ":path", "/2345678901"), true, few).reason() == Reason::request_line_too_long);
  CHECK(Read(with(kGet, {{"a", std::string(90, 'x')}}), true, few).reason() == Reason::header_too_large);
}

TEST_CASE("past the limits nothing is kept, and the first thing that was wrong is what is told") {
  const http::HeadLimits few{.first_line_bytes = 100, .head_bytes = 1000, .fields = 1};
  Read read(with(kGet, {{"a", "1"}, {"b", "2"}, {"host", "other"}}), true, few);
  CHECK(read.reason() == Reason::too_many_headers);
  CHECK_FALSE(read.request.is_accepted());
  CHECK(read.lines.text().find("b: 2") == std::string_view::npos);
}
