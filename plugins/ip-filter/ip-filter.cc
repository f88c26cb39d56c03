// ip-filter: refuses requests by the address that they come from: before routing for a listener, after the match for a route.
#include "ip-filter/ip-filter_config.h"

namespace sluice::ip_filter {

class Filter {
 public:
  explicit Filter(Exchange exchange) : exchange_(exchange) {}

  Verdict on_begin() {
    const auto& config = exchange_.config<Config>();
    if (config.allows(exchange_.fact(config.subject))) {
      exchange_.worker().count(config.allowed);
      return Verdict::go_on;
    }
    exchange_.worker().count(config.denied);
    return exchange_.respond(
        {.status = 403, .reason = "ip_denied", .detail = "Requests from this address are not accepted."});
  }

 private:
  Exchange exchange_;
};

}  // namespace sluice::ip_filter

SLUICE_PLUGIN("ip-filter", "1.0", sluice::ip_filter::Config, sluice::NoWorker, sluice::ip_filter::Filter)
