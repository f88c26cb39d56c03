// The plugins' side of an Exchange, on the way back: the response's head and body as they pass the plugins and wait while one of
// them pauses, and the answers that the gateway or a plugin makes.

#include <unistd.h>

#include <algorithm>

#include "http/parser.h"
#include "proxy/engine.h"
#include "proxy/problem.h"

namespace sluice::proxy {

using filter::Chain;
using http::BodyFraming;
using Step = Chain::Step;

namespace {

// The same head in the arena, each field as a line of its own.
http::ResponseHead kept_head(const http::ResponseHead& head, Arena& arena) {
  http::ResponseHead kept = head;
  kept.phrase = arena.copy(head.phrase);
  const auto fields = arena.allocate_array<http::HeaderField>(head.headers.size());
  size_t count = 0;
  for (const http::HeaderField& field : head.headers) {
    const size_t bytes = field.name.size() + field.value.size() + 4;
    http::HeadWriter line({arena.allocate(bytes), bytes});
    line.field(field.name, field.value);
    const std::string_view text = line.view();
    fields[count++] = {text.substr(0, field.name.size()), text.substr(field.name.size() + 2, field.value.size()),
                       field.id};
  }
  kept.headers = http::HeaderMap(fields);
  return kept;
}

// Why an exchange ends with an answer that cannot be given any more, since a head has gone.
Reason failure_of(const filter::Answer& answer) {
  return answer.failure == Reason::none ? Reason::plugin_failed : answer.failure;
}

}  // namespace

// --- the response ---

void Exchange::filter_response(const http::ResponseHead& head, const http::ResponseFraming& framing) {
  Filtering& filtering = *filtering_;
  filtering.origin = SLUICE_FROM_UPSTREAM;
  filtering.head = head;
  filtering.framing = framing;
  drop_named_fields(filtering.head.headers, filtering.framing.connection, arena_);
  phase_ = Phase::relaying;
  run_response_filters();
}

void Exchange::run_response_filters() {
  Filtering& filtering = *filtering_;
  switch (filtering.chain.response()) {
    case Step::next: return send_filtered_head();
    case Step::respond: return answer_plugin();
    case Step::wait:
    case Step::read_body: break;
  }
  filtering.holds_head = true;
  filtering.head = kept_head(filtering.head, arena_);
  if (lease_) {
    lease_->disarm();
    lease_->pause_reading();
  }
}

void Exchange::send_filtered_head() {
  Filtering& filtering = *filtering_;
  if (filtering.origin != SLUICE_FROM_UPSTREAM) return send_filtered_answer();
  send_head(filtering.head, filtering.framing);
}

// True if the piece goes on to the client as it is.
bool Exchange::filter_response_body(std::string_view data, bool last) {
  Filtering& filtering = *filtering_;
  if (filtering.holds_response()) {
    filtering.held_response.append(data);  // at most what was read already
    return false;
  }
  if (phase_ == Phase::tunnel || !filtering.chain.wants_response_body()) return true;
  switch (filtering.chain.response_body(data, last)) {
    case Step::next: return !filtering.chain.replaces_response_body();
    case Step::wait: break;
    case Step::respond:
    case Step::read_body: abort(failure_of(filtering_->chain.take_answer())); return false;
  }
  filtering.holds_body = true;
  filtering.end_was_seen = false;
  filtering.piece_bytes = data.size();
  filtering.held_response.append(data);
  if (lease_) lease_->pause_reading();
  return false;
}

// False if the end waits behind what plugins hold.
bool Exchange::filter_response_end(const http::HeaderMap& trailers) {
  Filtering& filtering = *filtering_;
  const bool waits_behind = filtering.holds_response();
  if (!waits_behind && filtering.framing.body.kind != BodyFraming::Kind::none) filter_response_body({}, true);
  if (phase_ == Phase::over) return false;
  if (!filtering.holds_response()) return true;
  filtering.holds_end = true;
  filtering.end_was_seen = !waits_behind;
  http::ResponseHead carrier;
  carrier.headers = trailers;
  filtering.trailers = kept_head(carrier, arena_).headers;
  flush_client();
  // All of it is here: the connection is free for others.
  if (lease_ && !sent_all_) lease_->spoil();
  lease_.give_back(Reason::keepalive_done);
  return false;
}

// Plugins see neither trailers nor 1xx heads: what would be theirs there comes too late, or too early. It is nobody's.
http::HeaderMap Exchange::without_dropped(const http::HeaderMap& fields) {
  const auto kept = arena_.allocate_array<http::HeaderField>(fields.size());
  const auto end = std::copy_if(fields.begin(), fields.end(), kept.begin(), [this](const http::HeaderField& field) {
    return !filtering_->chain.drops_trailer(field.name);
  });
  return http::HeaderMap(kept.first(static_cast<size_t>(end - kept.begin())));
}

// The piece that waited goes on behind the filter that paused; what came behind it follows.
void Exchange::resume_response_body() {
  Filtering& filtering = *filtering_;
  const std::string_view held = filtering.held_response.view();
  const std::string_view piece = held.substr(0, filtering.piece_bytes);
  const bool last = filtering.end_was_seen;
  switch (filtering.chain.response_body(piece, last)) {
    case Step::next: break;
    case Step::wait: return;
    case Step::respond:
    case Step::read_body: return abort(failure_of(filtering_->chain.take_answer()));
  }
  filtering.holds_body = false;
  if (!filtering.chain.replaces_response_body()) send_response_body(piece);
  release_response(piece.size(), last);
}

// What came while a plugin held the response goes on from byte `at`, until a plugin holds it again.
void Exchange::release_response(size_t at, bool end_was_seen) {
  Filtering& filtering = *filtering_;
  const std::string_view rest = filtering.held_response.view().substr(at);
  const bool looks = phase_ != Phase::tunnel && filtering.chain.wants_response_body();
  Step step = looks && !rest.empty() ? filtering.chain.response_body(rest, false) : Step::next;
  if (step == Step::next && !rest.empty() && !(looks && filtering.chain.replaces_response_body()))
    send_response_body(rest);
  to_client_.hold();
  filtering.held_response.consume(step == Step::wait ? at : at + rest.size());
  filtering.piece_bytes = filtering.held_response.size();
  if (step == Step::next && filtering.holds_end && looks && !end_was_seen) {
    step = filtering.chain.response_body({}, true);
    filtering.end_was_seen = true;
  }
  switch (step) {
    case Step::next: break;
    case Step::wait: filtering.holds_body = true; return flush_client();
    case Step::respond:
    case Step::read_body: return abort(failure_of(filtering_->chain.take_answer()));
  }
  if (filtering.holds_end) return end_response(filtering.trailers);
  if (lease_) lease_->resume_reading();
  flush_client();
}

// --- answers ---

// What a plugin said instead of the upstream, or in place of what it answered.
void Exchange::answer_plugin() {
  const filter::Answer answered = filtering_->chain.take_answer();
  if (response_begun_) return abort(failure_of(answered));
  file_left_ = 0;
  filtering_->holds_head = false;
  filtering_->held_response.clear();
  filtering_->origin = SLUICE_FROM_PLUGIN;
  if (answered.failure != Reason::none) return answer_error({answered.failure, ""});
  reason_ = answered.reason.empty() ? Reason::none : Reason::plugin_response;
  filtering_->reason = answered.reason;
  if (answered.reason.empty() || !answered.body.empty())
    return answer(answered.status, answered.field_lines, answered.body);
  http::HeadWriter fields({arena_.allocate(answered.field_lines.size()), answered.field_lines.size()});
  fields.text(answered.field_lines);
  answer_problem({answered.status, answered.reason, answered.detail, request_.id}, fields);
}

// The plugins saw this answer, and it cannot be composed: the error instead goes past them.
void Exchange::answer_unfiltered(Error error) {
  filtering_->passed_by = true;
  request_.route = nullptr;  // its response edits are what failed
  file_left_ = 0;
  phase_ = Phase::relaying;
  answer_error(error);
}

// An answer of the gateway, or of a plugin, on its way through the plugins that took part.
void Exchange::filter_answer(uint16_t status, std::string_view field_lines, BodyFraming body, std::string_view text) {
  Filtering& filtering = *filtering_;
  if (filtering.origin == SLUICE_FROM_UPSTREAM) filtering.origin = SLUICE_FROM_GATEWAY;
  phase_ = Phase::finishing;
  filtering.head = {};
  filtering.head.status = status;
  filtering.head.phrase = http::phrase_of(status);
  const auto count = static_cast<size_t>(std::count(field_lines.begin(), field_lines.end(), '\n'));
  char* block = arena_.allocate(field_lines.size() + 2);
  *std::copy(field_lines.begin(), field_lines.end(), block) = '\r';
  block[field_lines.size() + 1] = '\n';
  const auto parsed =
      http::parse_fields({block, field_lines.size() + 2}, arena_.allocate_array<http::HeaderField>(count));
  SL_ASSERT(parsed.has_value());  // the gateway wrote them, or judged them
  filtering.head.headers = *parsed;
  filtering.framing = {};
  if (status != 204 && status != 304) filtering.framing.body = body;
  filtering.answer_body = filtering.framing.body.empty() ? std::string_view() : text;
  run_response_filters();
}

void Exchange::send_filtered_answer() {
  Filtering& filtering = *filtering_;
  keep_alive_ = keep_alive_ && may_keep_alive();
  client_framing_ = {filtering.framing.body, keep_alive_};
  if (filtering.chain.replaces_response_body()) use_unknown_length();
  const auto head = compose_client_head(request_, filtering.head, filtering.framing.connection, client_framing_,
                                        engine_.date(), arena_);
  if (!head) return answer_unfiltered(head.error());
  status_ = filtering.head.status;
  response_begun_ = true;
  client_->send_head(*head, to_client_);
  const bool has_body =
      request_.head.method != http::Method::HEAD && (!filtering.answer_body.empty() || file_left_ > 0);
  if (has_body && filtering.chain.wants_response_body()) return file_left_ > 0 ? flush_client() : filter_answer_body();
  if (has_body) send_response_body(filtering.answer_body);
  end_answer();
  flush_client();
}

void Exchange::filter_answer_body() {
  pass_answer_piece();
  flush_client();
}

// Of a file this is a piece, and the next one is read once the client has taken what became of it. False if it goes no further:
// a plugin holds it, or the exchange is over.
bool Exchange::pass_answer_piece() {
  Filtering& filtering = *filtering_;
  const Step step = filtering.chain.response_body(filtering.answer_body, file_left_ == 0);
  filtering.holds_body = step == Step::wait;
  if (step == Step::wait) {
    to_client_.hold();
    return false;
  }
  if (step != Step::next) {
    abort(failure_of(filtering_->chain.take_answer()));
    return false;
  }
  if (!filtering.chain.replaces_response_body()) send_response_body(filtering.answer_body);
  if (file_left_ == 0) end_answer();
  return true;
}

void Exchange::end_answer() {
  if (file_left_ == 0 && client_framing_.body.kind == BodyFraming::Kind::chunked) to_client_.add("0\r\n\r\n");
  response_complete_ = true;
}

bool Exchange::filters_file() const {
  return filtering_ != nullptr && !filtering_->passed_by && filtering_->chain.wants_response_body();
}

// As write_file_body(), but through the plugins.
bool Exchange::filter_file_body() {
  constexpr size_t kPieceBytes = 64 * 1024;
  constexpr int kPiecesPerWake = 4;
  Filtering& filtering = *filtering_;
  if (filtering.file_piece.empty()) filtering.file_piece = {arena_.allocate(kPieceBytes), kPieceBytes};
  for (int i = 0; i < kPiecesPerWake && file_left_ > 0; ++i) {
    if (filtering.holds_body) {
      on_client_drained();
      return false;
    }
    const size_t want = std::min<uint64_t>(file_left_, kPieceBytes);
    const ssize_t got = pread(file_.get(), filtering.file_piece.data(), want, static_cast<off_t>(file_offset_));
    if (got <= 0) {
      abort(Reason::internal_error);  // the file shrank while it was sent
      return false;
    }
    file_offset_ += static_cast<uint64_t>(got);
    file_left_ -= static_cast<uint64_t>(got);
    filtering.answer_body = {filtering.file_piece.data(), static_cast<size_t>(got)};
    pass_answer_piece();
    if (phase_ == Phase::over || !flush_held()) return false;
  }
  if (file_left_ == 0) return true;
  wait_for_client(true);
  return false;
}

// A body that plugins make anew: nobody knows how long it will be.
void Exchange::use_unknown_length() {
  if (client_framing_.body.kind == BodyFraming::Kind::none) return;
  if (request_.head.method == http::Method::HEAD || filtering_->head.status == 304) {
    client_framing_.body = {};
  } else {
    client_framing_.use_unknown_length(request_.head.version);
    keep_alive_ = client_framing_.keep_alive;
  }
}

}  // namespace sluice::proxy
