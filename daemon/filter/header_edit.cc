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
HeaderField make_field(Arena& arena, std::string_view name, std::string_view value, HeaderId id) {
  char* line = arena.allocate(name.size() + value.size() + 4);
  char* at = std::copy(name.begin(), name.end(), line);
  *at++ = ':';
  *at++ = ' ';
  char* const begin = at;
  at = std::copy(value.begin(), value.end(), at);
  *at++ = '\r';
  *at++ = '\n';
  return {{line, name.size()}, {begin, value.size()}, id};
}

bool is_editable(std::string_view name, HeaderId id) {
  if (!http::is_token(name)) return false;  // an id alone does not prove it: a name with a colon in it may have one
  switch (id) {
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
    case HeaderId::http2_settings:
    case HeaderId::early_data: return false;
    default: return true;
  }
}

bool is_valid(std::string_view name, HeaderId id, std::string_view value) {
  return is_editable(name, id) && http::is_field_value(value) && name.size() + value.size() + 4 <= kMaxLineBytes;
}

}  // namespace

bool is_editable(std::string_view name) { return is_editable(name, http::header_id(name)); }

bool set_header(HeaderMap& headers, Arena& arena, std::string_view name, std::string_view value) {
  const HeaderId id = http::header_id(name);
  if (!is_valid(name, id, value)) return false;
  headers.remove(name, id);
  headers.append(make_field(arena, name, value, id), arena);
  return true;
}

bool add_header(HeaderMap& headers, Arena& arena, std::string_view name, std::string_view value) {
  const HeaderId id = http::header_id(name);
  if (!is_valid(name, id, value)) return false;
  headers.append(make_field(arena, name, value, id), arena);
  return true;
}

bool remove_header(HeaderMap& headers, std::string_view name) {
  const HeaderId id = http::header_id(name);
  if (!is_editable(name, id)) return false;
  headers.remove(name, id);
  return true;
}

}  // namespace sluice::filter
