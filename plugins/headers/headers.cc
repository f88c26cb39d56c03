// headers: edits the fields of requests and responses for a whole listener, the gateway's own answers included, where `headers:` of
// a route reaches that route only; fills in fields that are missing, among them the usual ones for security.
#include "headers/headers_config.h"

namespace sluice::headers {

class Filter {
 public:
  explicit Filter(Exchange exchange) : exchange_(exchange) {}

  // Before routing, for routes can be chosen by fields.
  Verdict on_request_start() { return edit_request(); }
  Verdict on_request() { return edit_request(); }
  Verdict on_response() {
    edit(Side::response, config().response);
    return Verdict::go_on;
  }

 private:
  [[nodiscard]] const Config& config() const { return exchange_.config<Config>(); }

  // In the first phase that comes: once, or `add` would add twice.
  Verdict edit_request() {
    if (!edited_) edit(Side::request, config().request);
    edited_ = true;
    return Verdict::go_on;
  }

  void edit(Side side, const Edits& edits) const {
    for (const std::string& name : edits.remove) exchange_.remove_header(side, name);
    for (const Field& field : edits.set) exchange_.set_header(side, field.name, field.value);
    for (const Field& field : edits.add) exchange_.add_header(side, field.name, field.value);
    for (const Field& field : edits.fallback) {
      if (!exchange_.header(side, field.name)) exchange_.add_header(side, field.name, field.value);
    }
  }

  Exchange exchange_;
  bool edited_ = false;
};

}  // namespace sluice::headers

SLUICE_PLUGIN("headers", "1.0", sluice::headers::Config, sluice::NoWorker, sluice::headers::Filter)
