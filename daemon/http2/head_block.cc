#include "http2/head_block.h"

namespace sluice::http2 {

using http::HeaderId;

namespace {

constexpr uint64_t kFraming =
    http::HeaderMap::bit_of(HeaderId::connection) | http::HeaderMap::bit_of(HeaderId::transfer_encoding) |
    http::HeaderMap::bit_of(HeaderId::keep_alive) | http::HeaderMap::bit_of(HeaderId::proxy_connection) |
    http::HeaderMap::bit_of(HeaderId::upgrade) | http::HeaderMap::bit_of(HeaderId::host);

}  // namespace

void HeadBlock::add(std::string_view name, std::string_view value) {
  Field added;
  added.name = add_text(name);
  text_.append(": ");
  added.value = add_text(value);
  text_.append("\r\n");
  added.id = http::header_id(name);
  fields_.append({reinterpret_cast<const char*>(&added), sizeof(added)});
}

HeadBlock::Piece HeadBlock::add_text(std::string_view text) {
  const Piece piece{static_cast<uint32_t>(text_.size()), static_cast<uint32_t>(text.size())};
  text_.append(text);
  return piece;
}

HeadBlock::Field HeadBlock::field(size_t index) const {
  Field field;
  std::memcpy(&field, fields_.view().data() + index * sizeof(Field), sizeof(Field));
  return field;
}

void HeadBlock::join_cookies() {
  std::string joined;
  const size_t count = fields();
  std::vector<Field> others;
  for (size_t i = 0; i < count; ++i) {
    const Field each = field(i);
    if (each.id != HeaderId::cookie) {
      others.push_back(each);
      continue;
    }
    if (!joined.empty()) joined += "; ";
    joined += text(each.value);
  }
  if (count - others.size() < 2) return;
  fields_.clear();
  fields_.append({reinterpret_cast<const char*>(others.data()), others.size() * sizeof(Field)});
  add("cookie", joined);
}

void HeadBlock::clear() {
  text_.clear();
  fields_.clear();
}

http::HeaderMap HeadBlock::map(std::span<http::HeaderField> out) const {
  uint64_t present = 0, repeated = 0;
  const size_t count = fields();
  for (size_t i = 0; i < count; ++i) {
    const Field each = field(i);
    out[i] = {text(each.name), text(each.value), each.id};
    const uint64_t bit = http::HeaderMap::bit_of(each.id);
    repeated |= present & bit;
    present |= bit;
  }
  return {out.first(count), present, repeated};
}

nghttp2_nv make_field(std::string_view name, std::string_view value) {
  const auto bytes = [](std::string_view text) {
    return const_cast<uint8_t*>(reinterpret_cast<const uint8_t*>(text.data()));
  };
  return {bytes(name), bytes(value), name.size(), value.size(), NGHTTP2_NV_FLAG_NONE};
}

void append_fields(const http::HeaderMap& headers, std::vector<nghttp2_nv>& out) {
  for (const http::HeaderField& field : headers) append_field(field, out);
}

void append_field(const http::HeaderField& field, std::vector<nghttp2_nv>& out) {
  if ((kFraming & http::HeaderMap::bit_of(field.id)) == 0) out.push_back(make_field(field.name, field.value));
}

}  // namespace sluice::http2
