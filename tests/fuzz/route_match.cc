// Bytes become a small route set and three requests; RouteTable must agree with the naive router on each.
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "../compare_routers.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  size_t at = 0;
  auto next = [&](size_t n) { return at < size ? data[at++] % n : 0; };
  sluice::random_routes::Maker<decltype(next)> make(std::move(next));
  const auto routes = make.routes(8);
  const auto table = sluice::snapshot::RouteTable::build(routes);
  for (int i = 0; i < 3; ++i) {
    auto request = make.request();
    const std::string wrong = sluice::disagreement(routes, table, request);
    if (wrong.empty()) continue;
    std::fprintf(stderr, "%s\nrequest: %s\nroutes:\n%s", wrong.c_str(), request.text().c_str(),
                 sluice::random_routes::text(routes).c_str());
    std::abort();
  }
  return 0;
}
