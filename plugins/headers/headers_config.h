#pragma once

#include <string>
#include <vector>

#include "plugins/sdk.hpp"

namespace sluice::headers {

struct Field {
  std::string name;
  std::string value;
};

/// What is done to the fields of one direction, in this order.
struct Edits {
  std::vector<std::string> remove;
  std::vector<Field> set;       // replaces all fields of the name
  std::vector<Field> add;       // beside those that are there
  std::vector<Field> fallback;  // only if there is none
};

struct Config {
  explicit Config(Setup& setup);

  Edits request;
  Edits response;
};

}  // namespace sluice::headers
