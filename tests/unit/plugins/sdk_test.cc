// The SDK on gateways that know less than it.
#include <catch2/catch.hpp>
#include <cstddef>
#include <vector>

#include "plugins/sdk.hpp"

using namespace sluice;

namespace {

const std::vector<std::string_view> kNames = {"Accept", "X-Session", "x_session_data", "X-Sessions", "Host"};

sluice_host old_host() {
  sluice_host table{};
  table.struct_size = offsetof(sluice_host, header_like);
  table.header_count = [](sluice_filter*, sluice_side) { return kNames.size(); };
  table.header_at = [](sluice_filter*, sluice_side, size_t index, sluice_header* out) {
    *out = {to_abi(kNames.at(index)), {}};
    return 1;
  };
  table.header_like = [](sluice_filter*, sluice_side, sluice_str, size_t) -> size_t { return 77; };  // is not there
  return table;
}

}  // namespace

TEST_CASE("names that read like a prefix are found on a gateway without header_like()") {
  const sluice_host table = old_host();
  host = &table;
  sluice_filter raw{};
  const Exchange exchange(&raw);
  CHECK(exchange.header_like(Side::request, "x-session", 0) == 1);
  CHECK(exchange.header_like(Side::request, "X_SESSION-", 0) == 2);
  CHECK(exchange.header_like(Side::request, "x-session", 2) == 2);
  CHECK(exchange.header_like(Side::request, "x-session", 3) == 3);
  CHECK(exchange.header_like(Side::request, "x-session", 4) == SIZE_MAX);
  CHECK(exchange.header_like(Side::request, "x-session", 9) == SIZE_MAX);
  CHECK(exchange.header_like(Side::request, "hosts", 0) == SIZE_MAX);
  host = nullptr;
}
