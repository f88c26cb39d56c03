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

/// What edits of one direction came to be: a default where the field is there already, and a removal of what is not, are none.
struct EditCounters {
  EditCounters(const Setup& setup, std::string_view direction);

  uint32_t removed;
  uint32_t set;
  uint32_t added;
};

struct Config {
  explicit Config(Setup& setup);

  Edits request;
  Edits response;
  EditCounters request_counters;
  EditCounters response_counters;
};

}  // namespace sluice::headers
