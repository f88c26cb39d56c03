// cors: tells browsers which other sites' pages may read answers (the CORS protocol of the Fetch standard), in the upstream's
// place. Preflight requests are answered here: before routing for a listener, before the upstream for a route. The fields of
// CORS that an upstream sends are dropped, so that there is one place which decides.
#include "common/header_syntax.h"
#include "cors/cors_config.h"

namespace sluice::cors {

class Filter {
 public:
  explicit Filter(Exchange exchange) : exchange_(exchange) {}

  // Before other plugins could change the fields.
  Verdict on_begin() {
    origin_ = exchange_.header(Side::request, "Origin");
    if (!origin_) return Verdict::go_on;
    allowed_ = config().origins.allows(*origin_);
    if (!allowed_) exchange_.worker().count(config().denied);
    is_preflight_ = exchange_.fact(SLUICE_METHOD) == "OPTIONS" &&
                    exchange_.header(Side::request, "Access-Control-Request-Method").has_value();
    return is_preflight_ ? answer_preflight() : Verdict::go_on;
  }

  Verdict on_response() {
    // Whoever answers, the gateway with an error too: the page is to read why.
    exchange_.remove_header(Side::response, "Access-Control-Allow-Credentials");
    exchange_.remove_header(Side::response, "Access-Control-Expose-Headers");
    const bool same_for_all = config().origins.any() && !config().credentials;
    if (!same_for_all) vary_by_origin();
    if (!allowed_) {
      exchange_.remove_header(Side::response, "Access-Control-Allow-Origin");
      return Verdict::go_on;
    }
    exchange_.set_header(Side::response, "Access-Control-Allow-Origin", same_for_all ? "*" : *origin_);
    if (config().credentials) exchange_.set_header(Side::response, "Access-Control-Allow-Credentials", "true");
    if (!is_preflight_ && !config().expose_headers.empty())
      exchange_.set_header(Side::response, "Access-Control-Expose-Headers", config().expose_headers);
    return Verdict::go_on;
  }

 private:
  [[nodiscard]] const Config& config() const { return exchange_.config<Config>(); }

  // What the page asked for is not judged here: the browser compares it with what is allowed, and tells its developer.
  Verdict answer_preflight() {
    exchange_.worker().count(config().preflight);
    if (!allowed_) {
      return exchange_.respond(
          {.status = 403, .reason = "cors_denied", .detail = "Pages of this origin may not use this resource."});
    }
    Header fields[3];
    size_t count = 0;
    fields[count++] = {"Access-Control-Max-Age", config().max_age};
    if (!config().methods.empty()) fields[count++] = {"Access-Control-Allow-Methods", config().methods};
    if (!config().headers.empty()) fields[count++] = {"Access-Control-Allow-Headers", config().headers};
    return exchange_.respond({.status = 204, .headers = {fields, count}});
  }

  // Caches must keep the answers to different origins apart, and those to none.
  void vary_by_origin() {
    for (size_t i = 0;; ++i) {
      const auto vary = exchange_.header(Side::response, "Vary", i);
      if (!vary) break;
      if (lists(*vary, "Origin") || lists(*vary, "*")) return;
    }
    exchange_.add_header(Side::response, "Vary", "Origin");
  }

  Exchange exchange_;
  std::optional<std::string_view> origin_;
  bool allowed_ = false;
  bool is_preflight_ = false;
};

}  // namespace sluice::cors

SLUICE_PLUGIN("cors", "1.0", sluice::cors::Config, sluice::NoWorker, sluice::cors::Filter)
