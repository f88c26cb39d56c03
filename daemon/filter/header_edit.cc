#include "filter/header_edit.h"

#include <algorithm>

#include "base/strings.h"
#include "http/parser.h"

namespace sluice::filter {

using http::HeaderField;
using http::HeaderId;
using http::HeaderMap;

namespace {

constexpr size_t kMaxLineBytes = 64 * 1024;

// The name and the value as views into one new line.
HeaderField make_field(Arena& arena, std::string_view name, std::string_view value) {
  char* line = arena.allocate(name.size() + value.size() + 4);
  char* at = std::copy(name.begin(), name.end(), line);
  *at++ = ':';
  *at++ = ' ';
  char* const begin = at;
  at = std::copy(value.begin(), value.end(), at);
  *at++ = '\r';
  *at++ = '\n';
  return {{line, name.size()}, {begin, value.size()}, http::header_id(name)};
}

// `headers` without the fields called `dropped` (unless that is empty), and with `added` at the end.
HeaderMap remade(const HeaderMap& headers, Arena& arena, std::string_view dropped, const HeaderField& added) {
  const auto fields = arena.allocate_array<HeaderField>(headers.size() + 1);
  auto* at = fields.data();
  for (const HeaderField& field : headers) {
    if (dropped.empty() || !iequals(field.name, dropped)) *at++ = field;
  }
  *at++ = added;
  return HeaderMap(fields.first(static_cast<size_t>(at - fields.data())));
}

bool is_valid(std::string_view name, std::string_view value) {
  return is_editable(name) && http::is_field_value(value) && name.size() + value.size() + 4 <= kMaxLineBytes;
}

}  // namespace

bool is_editable(std::string_view name) {
  if (!http::is_token(name)) return false;
  switch (http::header_id(name)) {
    case HeaderId::host:
    case HeaderId::connection:
    case HeaderId::content_length:
    case HeaderId::transfer_encoding:
    case HeaderId::keep_alive:
    case HeaderId::te:
    case HeaderId::trailer:
    case HeaderId::upgrade:
    case HeaderId::expect:
    case HeaderId::proxy_connection:
    case HeaderId::http2_settings: return false;
    default: return true;
  }
}

bool set_header(HeaderMap& headers, Arena& arena, std::string_view name, std::string_view value) {
  if (!is_valid(name, value)) return false;
  const HeaderField field = make_field(arena, name, value);
  headers = remade(headers, arena, name, field);
  return true;
}

bool add_header(HeaderMap& headers, Arena& arena, std::string_view name, std::string_view value) {
  if (!is_valid(name, value)) return false;
  const HeaderField field = make_field(arena, name, value);
  headers = remade(headers, arena, {}, field);
  return true;
}

bool remove_header(HeaderMap& headers, std::string_view name) {
  if (!is_editable(name)) return false;
  headers.remove(name);
  return true;
}

}  // namespace sluice::filter
