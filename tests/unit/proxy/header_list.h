// HeaderList: owns the fields that a HeaderMap views, for tests that make heads by hand.
#pragma once

#include <initializer_list>
#include <utility>
#include <vector>

#include "http/message.h"

namespace sluice::proxy {

class HeaderList {
 public:
  HeaderList(std::initializer_list<std::pair<const char*, const char*>> fields) {
    for (const auto& [name, value] : fields) fields_.push_back({name, value, http::header_id(name)});
  }
  operator http::HeaderMap() { return http::HeaderMap(fields_); }  // NOLINT: reads as the map itself

 private:
  std::vector<http::HeaderField> fields_;
};

}  // namespace sluice::proxy
