#include "request-id/request-id_config.h"

#include "common/header_syntax.h"

namespace sluice::request_id {

Config::Config(Setup& setup) {
  setup["header"].read(header);
  setup["to_client"].read(to_client);
  for_upstreams = !equals_ignoring_case(header, "X-Request-Id");
  const std::string mistake = for_upstreams ? why_not_for_upstreams(header) : "";
  if (!mistake.empty()) setup["header"].error(mistake);
  made = setup.counter("made");
  taken_over = setup.counter("taken_over");
  refused = setup.counter("refused");
}

}  // namespace sluice::request_id
