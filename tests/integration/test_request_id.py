"""The plugin request-id in the real binary."""

from harness import answering, proxying, response, sluice


def test_clients_and_upstreams_are_told_the_id_and_ids_are_counted_by_who_made_them():
    plugins = {"id": {"module": "request-id"},
               "correlation": {"module": "request-id", "config": {"header": "X-Correlation-Id", "to_client": False}}}
    with proxying(answering(response(b"hello")), plugins=plugins, listener={"plugins": ["id", "correlation"]}) as (gateway, origin):
        for sent, expected in [([], None), ([("X-Request-Id", "mine-7")], "mine-7"), ([("X-Request-Id", "not mine")], None),
                               ([("X-Request-Id", "a"), ("X-Request-Id", "a")], None)]:
            answer = gateway.get("/", sent)
            told = answer.get("x-request-id")
            assert told == expected if expected else told not in ("not mine", "a", None)
            assert origin.requests[-1].all("x-request-id") == origin.requests[-1].all("x-correlation-id") == [told]
            assert answer.get("x-correlation-id") is None
        gateway.reload(routes=[])
        assert gateway.get("/nowhere").get("x-request-id")
        metrics = gateway.metrics()
        for plugin in plugins:
            assert {event: metrics.total("sluice_plugin_events_total", plugin=plugin, event=event)
                    for event in ("made", "taken_over", "refused")} == {"made": 2, "taken_over": 1, "refused": 2}


def test_a_header_that_would_not_arrive_is_refused_with_its_place(tmp_path):
    config = tmp_path / "sluice.yaml"
    config.write_text("""version: 1
listeners: {public: {address: "127.0.0.1:8080", plugins: [id]}}
plugins:
  id: {module: request-id, config: {header: X-Forwarded-For}}
routes: [{match: {path: /}, respond: {body: hi}}]
""")
    assert "4:45: error: header: X-Forwarded-For would not arrive, since the gateway makes it anew for upstreams; name another header" in sluice("check", "--config", config).stderr
