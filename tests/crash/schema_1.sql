-- A journal of schema 1 as a daemon of that time left it, killed in the middle of its work: a turn whose once
-- call has no result, a message queued behind it, and an answer whose delivery was on the wire.
INSERT INTO "conv" VALUES(1,'hook:webhook:order-1','hook',NULL,2,0,1,'2754-8e5e5cdf',NULL,0,NULL,NULL,'{"v":1,"session":1,"session_seq":0}');
INSERT INTO "conv" VALUES(2,'hook:webhook:order-2','hook',NULL,1,1,1,NULL,NULL,0,NULL,NULL,'{"v":1,"session":1,"session_seq":0}');
INSERT INTO "dedup" VALUES('webhook:hook:msg_m1',1,1,'a14b18271722e1370fc4fad10b226668fea8885d5e778b6d81f4429b00853b39',1795633928737);
INSERT INTO "dedup" VALUES('webhook:hook:msg_m2',1,2,'bbbd42afa41b1e8ec25b684b4de63d8786668c7750fc171bb423d5fc3f8f3592',1795633928752);
INSERT INTO "dedup" VALUES('webhook:hook:msg_m3',2,1,'6ea6edc3ef584e01219d508d9461261bdd11dcf5c5ee2b11b5f89b99c8087a00',1795633928755);
INSERT INTO "inbox" VALUES(1,1,'running',0,1,'tools',1795633928737,NULL,0,1,'{"id":"webhook:hook:msg_m1","address":{"bridge":"hook","account":"webhook","chat":"order-1"},"sender":{"id":"u1"},"parts":[{"type":"text","text":"m1 do once+keyed"}],"sent_at":"2026-01-01T12:00:00+00:00","group":false,"addressed":true,"digest":"a14b18271722e1370fc4fad10b226668fea8885d5e778b6d81f4429b00853b39","reference":"msg_m1"}');
INSERT INTO "inbox" VALUES(1,2,'queued',0,0,'tools',1795633928752,NULL,0,1,'{"id":"webhook:hook:msg_m2","address":{"bridge":"hook","account":"webhook","chat":"order-1"},"sender":{"id":"u1"},"parts":[{"type":"text","text":"m2"}],"sent_at":"2026-01-01T12:00:00+00:00","group":false,"addressed":true,"digest":"bbbd42afa41b1e8ec25b684b4de63d8786668c7750fc171bb423d5fc3f8f3592","reference":"msg_m2"}');
INSERT INTO "inbox" VALUES(2,1,'answered',0,1,'tools',1795633928755,1795633928760,0,1,'{"id":"webhook:hook:msg_m3","address":{"bridge":"hook","account":"webhook","chat":"order-2"},"sender":{"id":"u1"},"parts":[{"type":"text","text":"m3"}],"sent_at":"2026-01-01T12:00:00+00:00","group":false,"addressed":true,"digest":"6ea6edc3ef584e01219d508d9461261bdd11dcf5c5ee2b11b5f89b99c8087a00","reference":"msg_m3"}');
INSERT INTO "journal" VALUES(1,1,1,0,0,'accepted',1,0,1795633928737,'');
INSERT INTO "journal" VALUES(2,1,1,0,1,'turn.started',1,1,1795633928738,'{"owner":"2754-8e5e5cdf","attempt":1}');
INSERT INTO "journal" VALUES(3,1,1,1,1,'llm.intent',1,1,1795633928742,'{"step":1,"route":"default"}');
INSERT INTO "journal" VALUES(4,1,1,1,1,'llm.result',1,1,1795633928747,'{"step":1,"response":{"model":"main","text":"","tool_calls":[{"id":"call-tok0x-0","name":"note_once","arguments":"{\"place\": \"m1/0/0\", \"token\": \"tok0x\", \"call\": \"call-tok0x-0\"}"},{"id":"call-tok0x-1","name":"note_keyed","arguments":"{\"place\": \"m1/0/1\", \"token\": \"tok0x\", \"call\": \"call-tok0x-1\"}"}],"finish":"tool_calls","usage":{"input_tokens":11,"output_tokens":7,"cached_tokens":3},"attempts":[{"model":"main","outcome":"ok","detail":"","duration_s":0.006303,"first_token_s":0.006212,"usage":{"input_tokens":11,"output_tokens":7,"cached_tokens":3}}]}}');
INSERT INTO "journal" VALUES(5,1,1,2,1,'tool.intent',1,1,1795633928748,'{"step":2,"call_id":"call-tok0x-0","name":"note_once","arguments":"{\"place\": \"m1/0/0\", \"token\": \"tok0x\", \"call\": \"call-tok0x-0\"}","effect":"once"}');
INSERT INTO "journal" VALUES(6,1,2,0,0,'accepted',1,0,1795633928752,'');
INSERT INTO "journal" VALUES(7,2,1,0,0,'accepted',1,0,1795633928755,'');
INSERT INTO "journal" VALUES(8,2,1,0,1,'turn.started',1,1,1795633928756,'{"owner":"2754-8e5e5cdf","attempt":1}');
INSERT INTO "journal" VALUES(9,2,1,1,1,'llm.intent',1,1,1795633928758,'{"step":1,"route":"default"}');
INSERT INTO "journal" VALUES(10,2,1,1,1,'llm.result',1,1,1795633928760,'{"step":1,"response":{"model":"main","text":"answer to m3: tok1x over and out","tool_calls":[],"finish":"stop","usage":{"input_tokens":11,"output_tokens":7,"cached_tokens":3},"attempts":[{"model":"main","outcome":"ok","detail":"","duration_s":0.001792,"first_token_s":0.001693,"usage":{"input_tokens":11,"output_tokens":7,"cached_tokens":3}}]}}');
INSERT INTO "journal" VALUES(11,2,1,0,1,'turn.finished',1,1,1795633928760,'{"outcome":"answered","text":"answer to m3: tok1x over and out","answers":[1],"model":"main","exit_code":0}');
INSERT INTO "kv" VALUES('instance','cizyz2ew');
INSERT INTO "kv" VALUES('open_turns',2);
INSERT INTO "outbox" VALUES(1,2,1,0,'sending',1,'2754-8e5e5cdf',NULL,0,1795633928760,1795633928760,1795633928762,NULL,'',0,1,'{"text":"answer to m3: tok1x over and out","kind":"reply","parts":1,"in_reply_to":"webhook:hook:msg_m3","reference":"msg_m3"}');
