#include "common/json.h"

#include <algorithm>
#include <cstdlib>

namespace sluice {

using simdjson::dom::element_type;

JsonReader::JsonReader() {
  constexpr size_t kUsual = 4096;
  if (parser_.allocate(kUsual, kMaxDepth) != simdjson::SUCCESS) std::abort();  // no memory
}

std::optional<simdjson::dom::object> JsonReader::read_object(std::string_view text) {
  simdjson::dom::element root;
  simdjson::dom::object object;
  if (parser_.parse(text.data(), text.size()).get(root) != simdjson::SUCCESS) return std::nullopt;
  if (root.get(object) != simdjson::SUCCESS || has_twins(root)) return std::nullopt;
  return object;
}

// Sorted, since an object may be as long as the text: comparing each with each would be a way to keep a worker busy.
bool JsonReader::has_twins(simdjson::dom::element value) {
  if (value.type() == element_type::ARRAY) {
    const simdjson::dom::array array = value.get_array().value_unsafe();
    return std::any_of(array.begin(), array.end(), [this](const auto& entry) { return has_twins(entry); });
  }
  if (value.type() != element_type::OBJECT) return false;
  const simdjson::dom::object object = value.get_object().value_unsafe();
  names_.clear();
  for (const auto& member : object) names_.push_back(member.key);
  std::sort(names_.begin(), names_.end());
  if (std::adjacent_find(names_.begin(), names_.end()) != names_.end()) return true;
  return std::any_of(object.begin(), object.end(), [this](const auto& member) { return has_twins(member.value); });
}

}  // namespace sluice
