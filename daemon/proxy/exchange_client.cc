// The client's side of an Exchange: writing the response, and what happens while the client does not take it.

#include <algorithm>

#include "proxy/engine.h"

namespace sluice::proxy {

using stats::ConnectionState;

namespace {
constexpr int kFileWritesPerWake = 4;
constexpr size_t kFileWriteBytes = 512 * 1024;
}  // namespace

void Exchange::flush_client() {
  if (downstream_ == nullptr || phase_ == Phase::over) return;
  if (filtering_ != nullptr && filtering_->overflowed) return abort(Reason::plugin_failed);
  if (!flush_held()) return;
  if (file_left_ > 0 && !write_file_body()) return;
  if (pipe_ && pipe_->held() > 0 && !write_pipe()) return;
  on_client_drained();
}

// Of what to_client_ holds, as much as the socket takes.
event::IoStatus Exchange::send_held() {
  const uint64_t sent_before = to_client_.sent();
  const event::IoStatus status = to_client_.flush(downstream_->stream());
  const uint64_t sent = to_client_.sent() - sent_before;
  engine_.shard().add(downstream_->series().sent, sent);
  if (phase_ == Phase::tunnel && sent > 0) watch_tunnel();
  return status;
}

// True if to_client_ is empty. If not, the socket wakes us, or the client is gone.
bool Exchange::flush_held() {
  const uint64_t sent_before = to_client_.sent();
  switch (send_held()) {
    case event::IoStatus::error: downstream_->close(Reason::client_closed); return false;
    case event::IoStatus::again: wait_for_client(to_client_.sent() > sent_before); return false;
    default: return true;
  }
}

void Exchange::wait_for_client(bool progress) {
  const bool waited = downstream_->stream().wants_write();
  downstream_->stream().want_write(true);
  // A pipe behind bytes that are held would fill up, and a full one takes nothing, as if the endpoint had closed.
  const bool behind = to_client_.held() > kHighWatermark || (pipe_ && pipe_->held() > 0);
  if (behind && lease_) lease_->pause_reading();
  if (phase_ == Phase::tunnel) return;
  downstream_->set_state(ConnectionState::writing);
  if (progress || !waited) downstream_->arm(downstream_->listener().timeouts.write, Reason::client_write_timeout);
}

void Exchange::on_client_drained() {
  if (downstream_->stream().wants_write()) {
    downstream_->stream().want_write(false);
    if (phase_ != Phase::tunnel) {
      downstream_->set_state(ConnectionState::waiting);
      watch_client();
    }
  }
  const bool held = filtering_ != nullptr && filtering_->holds_response();
  if (lease_ && !response_complete_ && !held) lease_->resume_reading();
  if (!response_complete_) return;
  if (phase_ != Phase::tunnel) return maybe_finish();
  if (!client_shut_) {
    client_shut_ = true;
    downstream_->stream().shutdown_write();
  }
  maybe_end_tunnel();
}

// True if all of the file is out.
bool Exchange::write_file_body() {
  if (filters_file()) return filter_file_body();
  for (int i = 0; i < kFileWritesPerWake && file_left_ > 0; ++i) {
    const size_t want = std::min<uint64_t>(file_left_, kFileWriteBytes);
    const event::IoResult result = downstream_->stream().write_file(file_.get(), file_offset_, want);
    if (result.status == event::IoStatus::again) break;
    if (result.status == event::IoStatus::error) {
      downstream_->close(Reason::client_closed);
      return false;
    }
    if (result.status == event::IoStatus::eof || result.bytes == 0) {
      abort(Reason::internal_error);  // the file shrank while it was sent
      return false;
    }
    file_offset_ += result.bytes;
    file_left_ -= result.bytes;
    body_sent_ += result.bytes;
    engine_.shard().add(downstream_->series().sent, result.bytes);
  }
  if (file_left_ == 0) return true;
  wait_for_client(true);
  return false;
}

// True if the pipe is empty. What it holds came behind everything that to_client_ held.
bool Exchange::write_pipe() {
  while (pipe_->held() > 0) {
    const event::IoResult result =
        downstream_->stream().splice_from_pipe(pipe_->read_end(), pipe_->held(), !response_complete_);
    if (result.status == event::IoStatus::again) {
      wait_for_client(true);
      return false;
    }
    if (result.status != event::IoStatus::ok) {
      downstream_->close(Reason::client_closed);
      return false;
    }
    pipe_->removed(result.bytes);
    body_sent_ += result.bytes;
    engine_.shard().add(downstream_->series().sent, result.bytes);
  }
  return true;
}

}  // namespace sluice::proxy
