/* A plugin of the tests, in plain C: leaves its tag wherever it passes, and does what its configuration says in each phase.
 *
 *   tag: a            what it writes into x-trace of the request and of the response
 *   pause: [request]  phases in which it pauses
 *   late: true        also writes tag.late into x-trace when it is resumed
 *   delay: 5ms        after which a timer resumes it; 0: it resumes before it returns; never: nobody does
 *   respond: request  the phase in which it answers by itself
 *   status: 418       with this, `body`, and the reason probe_said_so unless there is a body
 *   body: text
 *   read_body: true   reads the request's body itself, and answers how much it was; if it pauses the request, after that
 *   tier: gold        shares the claim jwt.tier before routing
 *   outlive: true     the exchange goes on without its client; the event "whole" counts responses that passed whole
 *   ask: app          asks this upstream for `target` before the request goes on, with x-asked: the status and body, or the reason
 *   asks_late: true   does so before the response goes on instead
 *   target: /keys
 *   patience: 5s      for that
 *   at_most: 1KiB     of its body
 *   shout: true       replaces the response's body by the same in capitals
 *   times: 2          so often
 *   ledger: FILE      notes there, a line each, when it is configured, discarded, started and stopped
 *   haunts: true      resumes with a timer that outlives the exchange
 *   skip: true        does not look at the response's body
 *
 * The event "completed" counts its exchanges, "cut" those whose client did not get all of the response. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugins/abi.h"

#ifndef PROBE_NAME
#define PROBE_NAME "probe"
#endif

enum { kRequestStart, kRequest, kRequestBody, kResponse, kResponseBody, kPhases };
static const char* const kNames[kPhases] = {"request_start", "request", "request_body", "response", "response_body"};

static const struct sluice_host* host;

struct config {
  char tag[32];
  char body[64];
  int pauses[kPhases];
  int responds[kPhases];
  uint64_t delay_ms;
  int never;
  int late;
  int read_body;
  int shout;
  int skip;
  int outlive;
  int asks_late;
  uint32_t ask;
  char target[64];
  char tier[32];
  char ledger[256];
  int haunts;
  uint64_t patience_ms;
  uint64_t at_most;
  int64_t times;
  uint32_t status;
  uint32_t whole;
  uint32_t haunted;
  uint32_t resumed;
  uint32_t completed;
  uint32_t cut;
  uint32_t paused;
};

struct state {
  struct sluice_filter* filter;
  struct sluice_worker* worker;
  sluice_side side; /* of the phase that paused */
  uint64_t token;
  uint64_t call;
  uint64_t timer;
  uint64_t body_bytes;
  int paused[kPhases];
  int answers_next;
  int reads_next;
  int dead; /* its exchange is over */
};

static struct sluice_str str(const char* text) {
  struct sluice_str result = {text, strlen(text)};
  return result;
}

static int phase_of(struct sluice_setup* setup, const struct sluice_node* node) {
  struct sluice_str text;
  if (!setup->text(setup, node, &text)) return -1;
  for (int i = 0; i < kPhases; ++i) {
    if (text.size == strlen(kNames[i]) && memcmp(text.data, kNames[i], text.size) == 0) return i;
  }
  setup->error(setup, node, str("no such phase"));
  return -1;
}

static void copy_text(struct sluice_setup* setup, const struct sluice_node* node, char* to, size_t bytes) {
  struct sluice_str text;
  if (node == NULL || !setup->text(setup, node, &text)) return;
  if (text.size >= bytes) {
    setup->error(setup, node, str("too long"));
    return;
  }
  memcpy(to, text.data, text.size);
}

static void note(const struct config* config, const char* what) {
  FILE* file = config->ledger[0] == 0 ? NULL : fopen(config->ledger, "a");
  if (file == NULL) return;
  fprintf(file, "%s %s\n", config->tag, what);
  fclose(file);
}

static void* configure(struct sluice_setup* setup) {
  if (host == NULL) host = setup->host;
  struct config* config = calloc(1, sizeof(*config));
  const struct sluice_node* node;
  config->status = 200;
  config->delay_ms = 1;
  config->times = 1;
  config->completed = setup->counter(setup, str("completed"));
  config->cut = setup->counter(setup, str("cut"));
  config->paused = setup->counter(setup, str("paused"));
  config->whole = setup->counter(setup, str("whole"));
  config->haunted = setup->counter(setup, str("haunted"));
  config->resumed = setup->counter(setup, str("resumed"));
  config->ask = SLUICE_NONE;
  config->patience_ms = 5000;
  config->at_most = 1024;
  copy_text(setup, setup->child(setup, setup->root, str("target")), config->target, sizeof(config->target));
  copy_text(setup, setup->child(setup, setup->root, str("tier")), config->tier, sizeof(config->tier));
  if ((node = setup->child(setup, setup->root, str("ask"))) != NULL) config->ask = setup->upstream(setup, node);
  if ((node = setup->child(setup, setup->root, str("patience"))) != NULL)
    setup->duration(setup, node, 1, 60000, &config->patience_ms);
  if ((node = setup->child(setup, setup->root, str("at_most"))) != NULL)
    setup->size(setup, node, 1, 1 << 20, &config->at_most);
  if ((node = setup->child(setup, setup->root, str("outlive"))) != NULL) setup->boolean(setup, node, &config->outlive);
  copy_text(setup, setup->child(setup, setup->root, str("tag")), config->tag, sizeof(config->tag));
  copy_text(setup, setup->child(setup, setup->root, str("body")), config->body, sizeof(config->body));
  if (config->tag[0] == 0) setup->error(setup, NULL, str("\"tag\" is missing"));
  copy_text(setup, setup->child(setup, setup->root, str("ledger")), config->ledger, sizeof(config->ledger));
  note(config, "configured");
  if ((node = setup->child(setup, setup->root, str("haunts"))) != NULL) setup->boolean(setup, node, &config->haunts);
  if ((node = setup->child(setup, setup->root, str("pause"))) != NULL) {
    for (size_t i = 0; i < setup->count(setup, node); ++i) {
      const int phase = phase_of(setup, setup->entry(setup, node, i, NULL));
      if (phase >= 0) config->pauses[phase] = 1;
    }
  }
  if ((node = setup->child(setup, setup->root, str("respond"))) != NULL) {
    const int phase = phase_of(setup, node);
    if (phase >= 0) config->responds[phase] = 1;
  }
  int64_t status;
  if ((node = setup->child(setup, setup->root, str("status"))) != NULL &&
      setup->integer(setup, node, 200, 599, &status)) {
    config->status = (uint32_t)status;
  }
  if ((node = setup->child(setup, setup->root, str("delay"))) != NULL)
    setup->duration(setup, node, 0, 100000, &config->delay_ms);
  if ((node = setup->child(setup, setup->root, str("never"))) != NULL) setup->boolean(setup, node, &config->never);
  if ((node = setup->child(setup, setup->root, str("asks_late"))) != NULL)
    setup->boolean(setup, node, &config->asks_late);
  if ((node = setup->child(setup, setup->root, str("late"))) != NULL) setup->boolean(setup, node, &config->late);
  if ((node = setup->child(setup, setup->root, str("read_body"))) != NULL)
    setup->boolean(setup, node, &config->read_body);
  if ((node = setup->child(setup, setup->root, str("shout"))) != NULL) setup->boolean(setup, node, &config->shout);
  if ((node = setup->child(setup, setup->root, str("skip"))) != NULL) setup->boolean(setup, node, &config->skip);
  if ((node = setup->child(setup, setup->root, str("times"))) != NULL)
    setup->integer(setup, node, 1, 1000, &config->times);
  return config;
}

static void discard(void* config) {
  note(config, "discarded");
  free(config);
}

static void start_worker(struct sluice_worker* worker) { note(worker->config, "started"); }
static void stop_worker(struct sluice_worker* worker) { note(worker->config, "stopped"); }

static const struct config* config_of(const struct sluice_filter* filter) { return filter->worker->config; }

static struct state* state_of(struct sluice_filter* filter) {
  if (filter->state == NULL) {
    struct state* state = filter->state = calloc(1, sizeof(*state));
    state->filter = filter;
    state->worker = filter->worker;
  }
  return filter->state;
}

static void trace(struct sluice_filter* filter, sluice_side side, const char* when) {
  char text[64];
  const int length = snprintf(text, sizeof(text), "%s.%s", config_of(filter)->tag, when);
  const struct sluice_str value = {text, (size_t)length};
  host->add_header(filter, side, str("x-trace"), value);
}

static void on_time(void* user) {
  struct state* state = user;
  state->timer = 0;
  if (state->dead) {
    host->count(state->worker, ((const struct config*)state->worker->config)->haunted, 1);
    host->resume(state->worker, state->token, SLUICE_CONTINUE);
    free(state);
    return;
  }
  host->count(state->worker, config_of(state->filter)->resumed, 1);
  if (config_of(state->filter)->late) trace(state->filter, state->side, "late");
  host->resume(state->worker, state->token,
               state->reads_next     ? SLUICE_READ_BODY
               : state->answers_next ? SLUICE_RESPOND
                                     : SLUICE_CONTINUE);
}

static void on_answer(void* user, const struct sluice_http_result* result) {
  struct state* state = user;
  char text[1024];
  const int length =
      result->status == 0
          ? snprintf(text, sizeof(text), "%.*s", (int)result->reason.size, result->reason.data)
          : snprintf(text, sizeof(text), "%u %.*s", result->status, (int)result->body.size, result->body.data);
  const struct sluice_str value = {text, (size_t)length};
  if (config_of(state->filter)->asks_late) {
    host->set_header(state->filter, SLUICE_RESPONSE, str("x-asked"), value);
  } else {
    host->set_shared(state->filter, str("asked"), value);
  }
  host->cancel(state->worker, state->call); /* what is over can be cancelled */
  state->call = 0;
  host->resume(state->worker, state->token, SLUICE_CONTINUE);
}

static sluice_verdict ask(struct sluice_filter* filter) {
  const struct config* config = filter->worker->config;
  struct state* state = state_of(filter);
  const struct sluice_header header = {str("x-by"), str(config->tag)};
  struct sluice_http_request request = {sizeof(request)};
  request.upstream = config->ask;
  request.method = str("GET");
  request.target = str(config->target);
  request.host = str("keys.test");
  request.headers = &header;
  request.header_count = 1;
  request.timeout_ms = config->patience_ms;
  request.max_body_bytes = config->at_most;
  state->token = host->token(filter);
  state->call = host->http(filter->worker, &request, on_answer, state);
  return SLUICE_PAUSE;
}

static void answer(struct sluice_filter* filter) {
  const struct config* config = config_of(filter);
  const struct sluice_header header = {str("x-by"), str(config->tag)};
  struct sluice_response response = {sizeof(response)};
  response.status = config->status;
  response.headers = &header;
  response.header_count = 1;
  response.body = str(config->body);
  if (config->body[0] == 0) {
    response.reason = str("probe_said_so");
    response.detail = str("The probe was told to.");
  }
  host->respond(filter, &response);
}

/* Pauses or answers as configured. */
static sluice_verdict act(struct sluice_filter* filter, int phase) {
  const struct config* config = config_of(filter);
  struct state* state = state_of(filter);
  const int responds = config->responds[phase];
  if (responds) answer(filter);
  if (config->pauses[phase] && !state->paused[phase]) {
    state->paused[phase] = 1;
    host->count(filter->worker, config->paused, 1);
    state->answers_next = responds;
    state->reads_next = config->read_body && phase == kRequest;
    state->side = phase < kResponse ? SLUICE_REQUEST : SLUICE_RESPONSE;
    state->token = host->token(filter);
    if (config->never) return SLUICE_PAUSE;
    if (config->delay_ms == 0) {
      on_time(state);
    } else {
      state->timer = host->timer(state->worker, config->delay_ms, on_time, state);
    }
    return SLUICE_PAUSE;
  }
  return responds ? SLUICE_RESPOND : SLUICE_CONTINUE;
}

static sluice_verdict on_request_start(struct sluice_filter* filter) {
  trace(filter, SLUICE_REQUEST, "request_start");
  if (config_of(filter)->tier[0] != 0) host->set_shared(filter, str("jwt.tier"), str(config_of(filter)->tier));
  return act(filter, kRequestStart);
}

static sluice_verdict on_request(struct sluice_filter* filter) {
  trace(filter, SLUICE_REQUEST, "request");
  const struct config* config = config_of(filter);
  host->set_shared(filter, str("last"), str(config->tag));
  if (config->outlive) host->outlive_client(filter);
  if (config->ask != SLUICE_NONE && !config->asks_late) return ask(filter);
  if (config->read_body && !config->pauses[kRequest]) return SLUICE_READ_BODY;
  return act(filter, kRequest);
}

static sluice_verdict on_request_body(struct sluice_filter* filter, struct sluice_str data, int last) {
  const struct config* config = config_of(filter);
  struct state* state = state_of(filter);
  state->body_bytes += data.size;
  if (config->read_body && last) {
    char text[64];
    struct sluice_response response = {sizeof(response)};
    response.status = 200;
    response.body.data = text;
    response.body.size = (size_t)snprintf(text, sizeof(text), "read %llu bytes", (unsigned long long)state->body_bytes);
    host->respond(filter, &response);
    return SLUICE_RESPOND;
  }
  return act(filter, kRequestBody);
}

static sluice_verdict on_response(struct sluice_filter* filter) {
  struct sluice_str last = {0};
  host->get_shared(filter, str("last"), &last);
  trace(filter, SLUICE_RESPONSE, "response");
  if (last.size > 0) host->set_header(filter, SLUICE_RESPONSE, str("x-last"), last);
  struct sluice_str asked;
  if (host->get_shared(filter, str("asked"), &asked)) host->set_header(filter, SLUICE_RESPONSE, str("x-asked"), asked);
  if (config_of(filter)->shout) host->replace_body(filter);
  if (config_of(filter)->skip) host->skip_body(filter);
  if (config_of(filter)->asks_late) return ask(filter);
  return act(filter, kResponse);
}

static sluice_verdict on_response_body(struct sluice_filter* filter, struct sluice_str data, int last) {
  if (last) host->count(filter->worker, config_of(filter)->whole, 1);
  if (config_of(filter)->shout) {
    char piece[256];
    for (size_t at = 0; at < data.size; at += sizeof(piece)) {
      const size_t bytes = data.size - at < sizeof(piece) ? data.size - at : sizeof(piece);
      for (size_t i = 0; i < bytes; ++i) {
        const char c = data.data[at + i];
        piece[i] = c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
      }
      const struct sluice_str out = {piece, bytes};
      for (int64_t n = 0; n < config_of(filter)->times; ++n) host->write_body(filter, out);
    }
  }
  return act(filter, kResponseBody);
}

static void on_complete(struct sluice_filter* filter, const struct sluice_summary* summary) {
  struct state* state = filter->state;
  host->count(filter->worker, config_of(filter)->completed, 1);
  if (!summary->complete) host->count(filter->worker, config_of(filter)->cut, 1);
  if (state != NULL && state->timer != 0 && config_of(filter)->haunts) {
    state->dead = 1;
    return;
  }
  if (state != NULL && state->timer != 0) host->cancel(filter->worker, state->timer);
  if (state != NULL && state->call != 0) host->cancel(filter->worker, state->call);
  free(state);
}

SLUICE_EXPORT const struct sluice_plugin sluice_plugin = {
    .struct_size = sizeof(struct sluice_plugin),
    .abi_version = SLUICE_ABI_VERSION,
    .name = PROBE_NAME,
    .version = "1",
    .configure = configure,
    .discard = discard,
    .start_worker = start_worker,
    .stop_worker = stop_worker,
    .on_request_start = on_request_start,
    .on_request = on_request,
    .on_request_body = on_request_body,
    .on_response = on_response,
    .on_response_body = on_response_body,
    .on_complete = on_complete,
};
