// request-id: tells the client the id under which its request stands in the log, and the upstream too if it knows the id by
// another name than X-Request-Id, which the gateway sets itself.
#include "request-id/request-id_config.h"

namespace sluice::request_id {

class Filter {
 public:
  explicit Filter(Exchange exchange) : exchange_(exchange) {}

  Verdict on_begin() {
    const std::string_view id = exchange_.fact(SLUICE_REQUEST_ID);
    exchange_.worker().count(counter_for(id));
    if (config().for_upstreams) exchange_.set_header(Side::request, config().header, id);
    return Verdict::go_on;
  }

  Verdict on_response() {
    if (config().to_client) exchange_.set_header(Side::response, config().header, exchange_.fact(SLUICE_REQUEST_ID));
    return Verdict::go_on;
  }

 private:
  [[nodiscard]] const Config& config() const { return exchange_.config<Config>(); }

  // The gateway takes over what a client sends if it is one id, and fit for a log.
  [[nodiscard]] uint32_t counter_for(std::string_view id) const {
    const auto sent = exchange_.header(Side::request, "X-Request-Id");
    if (!sent) return config().made;
    return *sent == id ? config().taken_over : config().refused;
  }

  Exchange exchange_;
};

}  // namespace sluice::request_id

SLUICE_PLUGIN("request-id", "1.0", sluice::request_id::Config, sluice::NoWorker, sluice::request_id::Filter)
