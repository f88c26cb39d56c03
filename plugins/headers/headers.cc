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
    edit(Side::response, config().response, config().response_counters);
    return Verdict::go_on;
  }

 private:
  [[nodiscard]] const Config& config() const { return exchange_.config<Config>(); }

  // In the first phase that comes: once, or `add` would add twice.
  Verdict edit_request() {
    if (!edited_) edit(Side::request, config().request, config().request_counters);
    edited_ = true;
    return Verdict::go_on;
  }

  void edit(Side side, const Edits& edits, const EditCounters& counters) const {
    uint64_t removed = 0;
    uint64_t set = 0;
    uint64_t added = 0;
    for (const std::string& name : edits.remove) {
      if (exchange_.header(side, name)) removed += exchange_.remove_header(side, name);
    }
    for (const Field& field : edits.set) set += exchange_.set_header(side, field.name, field.value);
    for (const Field& field : edits.add) added += exchange_.add_header(side, field.name, field.value);
    for (const Field& field : edits.fallback) {
      if (!exchange_.header(side, field.name)) added += exchange_.add_header(side, field.name, field.value);
    }
    count(counters.removed, removed);
    count(counters.set, set);
    count(counters.added, added);
  }

  void count(uint32_t counter, uint64_t amount) const {
    if (amount > 0) exchange_.worker().count(counter, amount);
  }

  Exchange exchange_;
  bool edited_ = false;
};

}  // namespace sluice::headers

SLUICE_PLUGIN("headers", "1.0", sluice::headers::Config, sluice::NoWorker, sluice::headers::Filter)
