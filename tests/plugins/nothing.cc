// A plugin that does nothing in every phase of a head: what the chain itself costs (bench), and the SDK with as little as it takes.
#include "plugins/sdk.hpp"

namespace {

struct Config {
  explicit Config(sluice::Setup&) {}
};

struct Filter {
  explicit Filter(sluice::Exchange) {}
  sluice::Verdict on_request() { return sluice::Verdict::go_on; }
  sluice::Verdict on_response() { return sluice::Verdict::go_on; }
};

}  // namespace

SLUICE_PLUGIN("nothing", "1.0", Config, sluice::NoWorker, Filter)
