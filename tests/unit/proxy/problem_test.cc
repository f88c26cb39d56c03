#include "proxy/problem.h"

#include <catch2/catch.hpp>

#include <array>
#include <string>

#include "flat_json.h"

namespace sluice::proxy {
namespace {

std::string problem(Reason reason, uint16_t status, std::string_view request_id) {
  std::array<char, kMaxProblemBytes> bytes;
  return {bytes.data(), write_problem(reason, status, request_id, bytes)};
}

TEST_CASE("A problem names status, reason, what to do, and the request") {
  CHECK(problem(Reason::no_route, 404, "0123abcd") ==
        R"({"type":"about:blank","title":"Not Found","status":404,"reason":"no_route",)"
        R"("detail":"No route matches this host and path; 'sluice explain' shows why.","request_id":"0123abcd"})"
        "\n");
}

TEST_CASE("Every reason's problem is valid JSON and fits, whatever the request id holds") {
  const std::string hostile(1000, '\x01');
  for (size_t i = 0; i < static_cast<size_t>(Reason::kCount); ++i) {
    const auto reason = static_cast<Reason>(i);
    const uint16_t status = row(reason).status == 0 ? 500 : row(reason).status;
    std::string body = problem(reason, status, hostile);
    CHECK(body.size() < kMaxProblemBytes - 16);
    REQUIRE(body.back() == '\n');
    body.pop_back();
    const auto fields = FlatJson::parse(body);
    INFO(body);
    REQUIRE(fields);
    CHECK(fields->at("reason") == name(reason));
    CHECK(fields->at("detail") == row(reason).text);
    CHECK(fields->at("request_id") == std::string(80, '\x01'));
  }
}

}  // namespace
}  // namespace sluice::proxy
