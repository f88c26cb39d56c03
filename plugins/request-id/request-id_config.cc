#include "request-id/request-id_config.h"

namespace sluice::request_id {

Config::Config(Setup& setup) {
  setup["header"].read(header);
  setup["to_client"].read(to_client);
  if (header.empty()) setup["header"].error("a header needs a name");
}

}  // namespace sluice::request_id
