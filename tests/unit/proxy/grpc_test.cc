#include "proxy/grpc.h"

#include <array>

#include "catch2/catch.hpp"

namespace sluice::proxy {
namespace {

class Fields {
 public:
  Fields(std::string_view name, std::string_view value) : fields_{{{name, value, http::header_id(name)}}} {}
  operator http::HeaderMap() { return http::HeaderMap(fields_); }

 private:
  std::array<http::HeaderField, 1> fields_;
};

TEST_CASE("a call of gRPC is known by its content type") {
  for (const char* type : {"application/grpc", "application/grpc+proto", "Application/gRPC;v=1"}) {
    CHECK(is_grpc(Fields("content-type", type)));
  }
  for (const char* type : {"application/grpc-web", "application/grpcs", "application/json", "", "application/grp"}) {
    CHECK_FALSE(is_grpc(Fields("content-type", type)));
  }
}

TEST_CASE("grpc-timeout is read with its unit, and bounded") {
  struct Case {
    const char* value;
    int64_t millis;  // -1: none
  };
  for (const auto& [value, millis] : {Case{"1S", 1000},
                                      {"20m", 20},
                                      {"3M", 180'000},
                                      {"2H", 7'200'000},
                                      {"1500u", 2},
                                      {"1n", 1},
                                      {"0S", 1},
                                      {"99999999H", 86'400'000},
                                      {"99999999n", 100},
                                      {"999999999S", -1},
                                      {"S", -1},
                                      {"10", -1},
                                      {"-1S", -1},
                                      {"1 S", -1},
                                      {"1s", -1},
                                      {"", -1}}) {
    CAPTURE(value);
    const auto read = grpc_timeout(Fields("grpc-timeout", value));
    CHECK((read ? read->count() : -1) == millis);
  }
}

TEST_CASE("a problem is told in gRPC's words") {
  std::array<char, 1024> memory;
  http::HeadWriter out(memory);
  write_grpc_problem(out, {503, "no_endpoint", "50 % of it, \xc3\xa9", "id"});
  CHECK(out.view() == "Content-Type: application/grpc\r\ngrpc-status: 14\r\ngrpc-message: 50 %25 of it, %C3%A9\r\n");
}

TEST_CASE("each status of HTTP that the gateway answers with has one of gRPC") {
  struct Case {
    uint16_t http;
    unsigned grpc;
  };
  for (const auto& [http, grpc] : {Case{400, 13},
                                   {401, 16},
                                   {403, 7},
                                   {404, 12},
                                   {405, 12},
                                   {408, 4},
                                   {413, 8},
                                   {425, 14},
                                   {429, 8},
                                   {431, 8},
                                   {499, 1},
                                   {500, 2},
                                   {501, 12},
                                   {502, 14},
                                   {503, 14},
                                   {504, 4}}) {
    CHECK(grpc_status({http, "", "", ""}) == grpc);
  }
}

}  // namespace
}  // namespace sluice::proxy
