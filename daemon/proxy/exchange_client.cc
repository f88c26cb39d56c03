// The client's side of an Exchange: writing the response, and what happens while the client does not take it.

#include <unistd.h>

#include <algorithm>
#include <array>

#include "proxy/engine.h"

namespace sluice::proxy {

using stats::ConnectionState;

namespace {
constexpr int kFileWritesPerWake = 4;
constexpr size_t kFileWriteBytes = 512 * 1024;
}  // namespace

void Exchange::flush_client() {
  if (client_ == nullptr || phase_ == Phase::over) return;
  if (filtering_ != nullptr && filtering_->overflowed) return abort(Reason::plugin_failed);
  if (!flush_held()) return;
  if (file_left_ > 0 && !write_file_body()) return;
  if (pipe_ && pipe_->held() > 0 && !write_pipe()) return;
  on_client_drained();
}

// Of what to_client_ holds, as much as the socket takes.
event::IoStatus Exchange::send_held() {
  const bool last = response_complete_ && file_left_ == 0 && (pipe_ == nullptr || pipe_->held() == 0);
  const event::IoStatus status = client_->flush(to_client_, last);
  if (phase_ == Phase::tunnel && to_client_.sent() > client_took_) {
    on_tunnel_progress(&ListenerSeries::tunnel_sent, to_client_.sent() - client_took_);
  }
  return status;
}

// True if to_client_ is empty. If not, the socket wakes us, or the client is gone.
bool Exchange::flush_held() {
  const event::IoStatus status = send_held();
  // Over HTTP/2 bytes also leave between our calls, when the client opens its window.
  const bool progress = to_client_.sent() > std::exchange(client_took_, to_client_.sent());
  switch (status) {
    case event::IoStatus::error: client_->close(Reason::client_closed); return false;
    case event::IoStatus::again: wait_for_client(progress); return false;
    default: return true;
  }
}

void Exchange::wait_for_client(bool progress) {
  const bool waited = client_->wants_write();
  client_->want_write(true);
  // A pipe behind bytes that are held would fill up, and a full one takes nothing, as if the endpoint had closed.
  const bool behind = to_client_.held() > kHighWatermark || (pipe_ && pipe_->held() > 0);
  if (behind && lease_) lease_->pause_reading();
  if (phase_ == Phase::tunnel) return;
  client_->set_state(ConnectionState::writing);
  if (progress || !waited) client_->arm(listener().timeouts.write, Reason::client_write_timeout);
}

void Exchange::on_client_drained() {
  if (client_->wants_write()) {
    client_->want_write(false);
    if (phase_ != Phase::tunnel) {
      client_->set_state(ConnectionState::waiting);
      watch_client();
    }
  }
  const bool held = filtering_ != nullptr && filtering_->holds_response();
  if (lease_ && !response_complete_ && !held) lease_->resume_reading();
  if (!response_complete_) return;
  if (phase_ != Phase::tunnel) return maybe_finish();
  if (!client_shut_) {
    client_shut_ = true;
    client_->shutdown_write();
  }
  maybe_end_tunnel();
}

// True if all of the file is out.
bool Exchange::write_file_body() {
  if (filters_file()) return filter_file_body();
  if (client_->socket() == nullptr) return read_file_body();
  for (int i = 0; i < kFileWritesPerWake && file_left_ > 0; ++i) {
    const size_t want = std::min<uint64_t>(file_left_, kFileWriteBytes);
    const event::IoResult result = client_->socket()->write_file(file_.get(), file_offset_, want);
    if (result.status == event::IoStatus::again) break;
    if (result.status == event::IoStatus::error) {
      client_->close(Reason::client_closed);
      return false;
    }
    if (result.status == event::IoStatus::eof || result.bytes == 0) {
      abort(Reason::internal_error);  // the file shrank while it was sent
      return false;
    }
    file_offset_ += result.bytes;
    file_left_ -= result.bytes;
    body_sent_ += result.bytes;
    engine_.shard().add(client_->connection().series().sent, result.bytes);
  }
  if (file_left_ == 0) return true;
  wait_for_client(true);
  return false;
}

// The same for a client that shares its socket with others: by way of user space.
bool Exchange::read_file_body() {
  std::array<char, 16 * 1024> buffer;
  for (int i = 0; i < kFileWritesPerWake && file_left_ > 0; ++i) {
    const size_t want = std::min<uint64_t>(file_left_, buffer.size());
    const ssize_t got = pread(file_.get(), buffer.data(), want, static_cast<off_t>(file_offset_));
    if (got <= 0) {
      abort(Reason::internal_error);  // the file shrank while it was sent
      return false;
    }
    file_offset_ += static_cast<uint64_t>(got);
    file_left_ -= static_cast<uint64_t>(got);
    to_client_.add({buffer.data(), static_cast<size_t>(got)});
    if (!flush_held()) return false;
  }
  if (file_left_ == 0) return true;
  wait_for_client(true);
  return false;
}

// True if the pipe is empty. What it holds came behind everything that to_client_ held.
bool Exchange::write_pipe() {
  while (pipe_->held() > 0) {
    const event::IoResult result =
        client_->socket()->splice_from_pipe(pipe_->read_end(), pipe_->held(), !response_complete_);
    if (result.status == event::IoStatus::again) {
      wait_for_client(true);
      return false;
    }
    if (result.status != event::IoStatus::ok) {
      client_->close(Reason::client_closed);
      return false;
    }
    pipe_->removed(result.bytes);
    body_sent_ += result.bytes;
    engine_.shard().add(client_->connection().series().sent, result.bytes);
  }
  return true;
}

}  // namespace sluice::proxy
