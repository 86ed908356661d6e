"""What a configuration may say, and how each mistake is told: all at once, with file, line and column."""

from __future__ import annotations

from pathlib import Path

import pytest

from clawd.config.problems import hide_secrets
from clawd.config.schema import Config, ModelConfig
from clawd.config.secrecy import MASK
from clawd.config.values import MAX_SECRET_BYTES
from clawd.config.view import view
from clawd.errors import ClawdError, ConfigError
from tests.unit.config.conftest import EchoConfig, FakePlugin, FakePlugins, Files, LampConfig, PhoneConfig


def test_no_file_means_every_default() -> None:
    from clawd.config.loader import load_config

    loaded = load_config(None, {}, FakePlugins())
    assert loaded.config == Config()
    assert (loaded.path, loaded.files, loaded.secrets) == (None, (), ())


def test_sections_of_plugins_become_their_own_models(files: Files) -> None:
    config = files.load(
        """
        models: [{name: a, type: echo, base_url: "http://x"}]
        bridges: {phone: {token: long enough}, second: {type: phone, token: long enough, lines: 2}}
        tools: {lamp: {room: kitchen}, on_unknown: report}
        """
    ).config
    assert isinstance(config.models[0], EchoConfig)
    assert {name: type(bridge) for name, bridge in config.bridges.items()} == {
        "phone": PhoneConfig,
        "second": PhoneConfig,
    }
    assert config.tools.settings["lamp"] == LampConfig(room="kitchen")


def test_sections_left_empty_are_their_defaults(files: Files) -> None:
    config = files.load("bridges:\n#  phone: {}\nmodels:\ngateway:\ntools: {lamp: }\n").config
    assert config.bridges == {}
    assert config.gateway == Config().gateway
    assert config.tools.settings == {"lamp": LampConfig()}


# What is wrong, where it is (line:column, key), and words that must be in the message.
MISTAKES = [
    ("agent: {max_stepz: 1}", "1:9 agent.max_stepz", "unknown key 'max_stepz'; did you mean 'max_steps'?"),
    ("agnt: {}", "1:1 agnt", "unknown key 'agnt'; did you mean 'agent'?"),
    ("gateway:\n  qqqq: 1", "2:3 gateway.qqqq", "unknown key 'qqqq'"),
    ("agent: {max_steps: many}", "1:20 agent.max_steps", "expected a whole number, got 'many'"),
    ("agent: {max_steps: 1.5}", "1:20 agent.max_steps", "expected a whole number, got the number 1.5"),
    ("agent: {max_steps: 0}", "1:20 agent.max_steps", "expected at least 1, got the number 0"),
    ("agent: {max_steps: yes}", "1:20 agent.max_steps", "expected a number, got true"),
    ("agent: {max_steps: [1]}", "1:9 agent.max_steps", "expected a whole number, got a list"),
    ("agent: {max_steps: }", "1:20 agent.max_steps", "expected a whole number, got nothing"),
    ("agent: {max_turn_usd: nan}", "1:23 agent.max_turn_usd", "expected"),
    ("agent: {instructions: 12}", "1:23 agent.instructions", "expected text, got the number 12"),
    (
        "agent: {busy: quee}",
        "1:15 agent.busy",
        "expected 'queue', 'steer' or 'interrupt', got 'quee'; did you mean 'queue'?",
    ),
    ("agent: 3", "1:8 agent", "expected a section, got the number 3"),
    ("agent: [1]", "1:1 agent", "expected a section, got a list"),
    ("gateway: {port: yes}", "1:17 gateway.port", "expected a number, got true"),
    ("gateway: {port: 70000}", "1:17 gateway.port", "expected at most 65535 or false, got the number 70000"),
    ("models: [deepseek]", "1:10 models[0]", "expected a section, got text"),
    (
        "models: [{name: a, type: echo, base_url: x, price: {as_of: yesterday, input: 1, output: 1}}]",
        "1:60 models[0].price.as_of",
        "expected a date such as 2026-01-31, got 'yesterday'",
    ),
    (
        "routes: {a: {models: []}}",
        "1:14 routes.a.models",
        "expected 1 or more entries, got an empty list",
    ),
    ('routes: {"we ird": {models: [a]}}', "1:10 routes.we ird", "'.', '_' or '-', got 'we ird'"),
    ("gateway: {tokens: {}}", "1:11 gateway.tokens", "expected a list, got a section"),
    ("gateway: {tokens: [{name: a}]}", "1:20 gateway.tokens[0].token", "this key is missing"),
    (
        "bridges: {terminal: {type: phone, token: long enough}}",
        "1:11 bridges.terminal",
        "belongs to clawd itself",
    ),
    (
        "gateway: {apps: [{app_id: a, token: long enough}, {app_id: a, token: long enough}]}",
        "1:60 gateway.apps[1].app_id",
        "the name 'a' is taken by a token or another app",
    ),
    (
        "gateway: {apps: [{app_id: default, token: long enough}]}",
        "1:27 gateway.apps[0].app_id",
        "the name 'default' is taken",
    ),
    (
        "gateway: {apps: [{app_id: a, token: long enough, origins: [https://A.example/]}]}",
        "1:60 gateway.apps[0].origins[0]",
        "expected an origin such as https://chat.example.com, in lower case",
    ),
    ("gateway: {host: 0.0.0.0}", "1:17 gateway.host", "0.0.0.0 can be reached from other hosts"),
    ('gateway: {host: "::"}', "1:17 gateway.host", ":: can be reached from other hosts"),
    (
        "access: {rate: often}",
        "1:16 access.rate",
        "expected a rate such as 20/min, 1/s or 100/h, got 'often'",
    ),
    (
        "access: {owners: [me]}",
        "1:19 access.owners[0]",
        "expected BRIDGE:SENDER, such as telegram:12345, got 'me'",
    ),
    ("routes: {default: {models: []}}", "1:20 routes.default.models", "expected 1 or more entries"),
    ("routes: {a b: {models: [x]}}", "1:10 routes.a b", "expected a name of at most 64 letters"),
    ("models: {}", "1:1 models", "expected a list, got a section"),
    ("models: [1]", "1:10 models[0]", "expected a section, got a number"),
    ("models: [{name: a}]", "1:10 models[0].type", "this key is missing; one of echo"),
    (
        "models: [{name: a, type: ecko}]",
        "1:26 models[0].type",
        "no model type 'ecko'; installed: echo; did you mean 'echo'",
    ),
    ("models: [{name: a, type: echo}]", "1:10 models[0].base_url", "this key is missing"),
    (
        "models: [{name: a, type: echo, base_url: x, temperature: hot}]",
        "1:58 models[0].temperature",
        "expected a number",
    ),
    ("bridges: 1", "1:1 bridges", "expected a section, got a number"),
    (
        "bridges: {fone: {}}",
        "1:11 bridges.fone.type",
        "no bridge type 'fone'; installed: odd, phone; did you mean 'phone'?",
    ),
    ("bridges: {a: {type: 3}}", "1:21 bridges.a.type", "no bridge type"),
    ("bridges: {phone: {}}", "1:11 bridges.phone.token", "this key is missing"),
    ("bridges: {phone: {token: short}}", "1:26 bridges.phone.token", "not two words of 8 characters"),
    ("bridges: {phone: {token: }}", "1:26 bridges.phone.token", "expected a non-empty string, {env: NAME}"),
    (
        "bridges: {phone: {token: {emv: X}}}",
        "1:19 bridges.phone.token",
        "expected a non-empty string, {env: NAME}",
    ),
    ("bridges: {phone: {token: long enough, rimg: no}}", "1:39 bridges.phone.rimg", "did you mean 'ring'?"),
    ("bridges: {odd: {}}", "1:11 bridges.odd", "this plugin is broken"),
    ("tools: {lmp: {}}", "1:9 tools.lmp", "no tool 'lmp'; installed: lamp; did you mean 'lamp'?"),
    ("tools: {lamp: on}", "1:9 tools.lamp", "expected a section, got true"),
    ("tools: {lamp: {room: 1}}", "1:22 tools.lamp.room", "expected text, got the number 1"),
    ("logging: {file: somewhere.log}", "1:17 logging.file", "expected true or false, got 'somewhere.log'"),
    ("state_dir: ${NOWHERE}/x", "1:12 state_dir", "the variable NOWHERE is not set"),
    ("state_dir: ${a b}", "1:12 state_dir", "is not the name of a variable"),
]


@pytest.mark.parametrize(("text", "place", "message"), MISTAKES, ids=[text for text, _, _ in MISTAKES])
def test_mistake_is_told_with_its_place(files: Files, text: str, place: str, message: str) -> None:
    problem = files.problem(text)
    assert f"{problem.line}:{problem.column} {problem.key}" == place
    assert message in problem.message
    assert problem.path == str(files.folder / "config.yaml")
    line, caret = problem.snippet.splitlines()
    assert line == hide_secrets(text.splitlines()[problem.line - 1])
    assert caret.index("^") == problem.column - 1


def test_all_mistakes_are_told_at_once_and_in_order(files: Files) -> None:
    text = "\n".join(
        ["tools: {lmp: {}}", "agent: {max_steps: x, busy: y}", "bridges: {phone: {}}", "qqqq: 1"]
    )
    found = [(problem.line, problem.key) for problem in files.problems(text)]
    assert found == [
        (1, "tools.lmp"),
        (2, "agent.max_steps"),
        (2, "agent.busy"),
        (3, "bridges.phone.token"),
        (4, "qqqq"),
    ]


def test_a_count_of_tokens_is_no_secret(files: Files) -> None:
    problem = files.problem("agent: {context_tokens: -5}")
    assert "got the number -5" in problem.message
    assert "context_tokens: -5" in problem.snippet


def test_mistake_in_one_section_hides_no_contradiction_in_others(files: Files) -> None:
    problems = files.problems("agent: {max_stepz: 1}\nqqqq: 1\ngateway: {host: 0.0.0.0}")
    assert [problem.key for problem in problems] == ["agent.max_stepz", "qqqq", "gateway.host"]


def test_route_to_a_model_with_a_mistake_is_no_second_mistake(files: Files) -> None:
    rest = 'type: echo, base_url: "http://x"'
    models = f"models: [{{name: main, {rest}, qqqq: 1}}, {{name: other, {rest}}}]"
    [problem] = files.problems(f"{models}\nroutes: {{default: {{models: [main, other]}}}}")
    assert problem.key == "models[0].qqqq"


def test_error_sums_up_in_four_lines(files: Files) -> None:
    files.write("agent: {max_stepz: 1}\ngateway: {prot: 1}\n")
    with pytest.raises(ConfigError) as raised:
        files.load()
    assert raised.value.exit_code == 78
    assert raised.value.where.endswith("config.yaml:1:9")
    assert "(and 1 more)" in raised.value.why


def test_column_counts_characters_and_not_bytes(files: Files) -> None:
    text = 'agent: {instructions: "日本語 é", max_stepz: 1}'
    problem = files.problem(text)
    assert problem.column - 1 == text.index("max_stepz") == problem.snippet.splitlines()[1].index("^")


def test_long_line_is_quoted_around_the_mistake(files: Files) -> None:
    problem = files.problem(f'agent: {{instructions: "{"x" * 5000}", max_stepz: 1}}')
    line, caret = problem.snippet.splitlines()
    assert len(line) <= 120
    assert line[caret.index("^") :].startswith("max_stepz")


def test_second_model_of_a_name_is_refused_with_the_place_of_the_first(files: Files) -> None:
    one = '{name: a, type: echo, base_url: "http://x"}'
    problem = files.problem(f"models:\n- {one}\n- {one}\n")
    assert (problem.line, problem.key) == (3, "models[1]")
    assert "config.yaml:2:3" in problem.message


def test_route_to_an_unknown_model_is_refused(files: Files) -> None:
    problem = files.problem(
        "models: [{name: main, type: echo, base_url: x}]\nroutes: {default: {models: [main, mian]}}"
    )
    assert problem.key == "routes.default.models[1]"
    assert (problem.line, problem.column) == (2, 35)
    assert problem.message == "there is no model named 'mian'; did you mean 'main'?"


def test_routes_without_a_list_of_models_wait_for_what_start_finds(files: Files) -> None:
    assert files.load("routes: {default: {models: [openai]}}").config.routes["default"].models == ("openai",)


def test_second_token_of_a_name_is_refused(files: Files) -> None:
    problem = files.problem("gateway: {tokens: [{name: a, token: abcdefgh}, {name: a, token: hgfedcba}]}")
    assert problem.key == "gateway.tokens[1].name"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", '"::1"', "127.8.8.8"])
def test_loopback_needs_no_token(files: Files, host: str) -> None:
    files.load(f"gateway: {{host: {host}}}")


@pytest.mark.parametrize("rest", ["tokens: [{name: a, token: abcdefgh}]", "port: false", "port: off"])
def test_wide_bind_is_allowed_with_tokens_or_without_a_server(files: Files, rest: str) -> None:
    files.load(f"gateway: {{host: 0.0.0.0, {rest}}}")


@pytest.mark.parametrize(
    ("text", "message", "remedy"),
    [
        ("gateway: false", "expected a section, got false", "to turn it off: gateway: {port: false}"),
        (
            "models: [{name: a, type: openai}]",
            "there is no model type 'openai'; that is",
            "write preset: openai",
        ),
        ("bridges: {phone: {token: long enough, line_id: 1}}", "unknown key 'line_id'", "a line is lines: 1"),
    ],
)
def test_what_people_mean_is_told(files: Files, text: str, message: str, remedy: str) -> None:
    problem = files.problem(text)
    assert problem.message.startswith(message)
    assert "did you mean 'lines'" not in problem.message
    assert problem.remedy.startswith(remedy)


def test_bridges_that_are_called_need_a_gateway(files: Files) -> None:
    files.plugins = FakePlugins(bridges={"phone": FakePlugin(PhoneConfig, called=True)})
    text = """
    gateway:
      port: false
    bridges:
      phone: {token: long enough}
      off: {type: phone, token: long enough, enabled: false}
    """
    problem = files.problem(text)
    assert (problem.line, problem.key) == (3, "gateway.port")
    assert "the bridge phone: nothing would ever arrive" in problem.message
    assert "set a port" in problem.remedy
    files.load(text.replace("false", "8080", 1))


def test_numbers_as_sender_ids_are_text(files: Files) -> None:
    config = files.load("bridges: {phone: {token: long enough, allow: [12345, -100, abc, '*']}}").config
    assert config.bridges["phone"].allow == ("12345", "-100", "abc", "*")


def test_broken_plugin_is_a_problem_at_the_place_that_names_it(files: Files) -> None:
    class Broken(dict[str, FakePlugin]):
        def __getitem__(self, key: str) -> FakePlugin:
            raise ClawdError(
                "the plugin can't be used", why="ImportError: no such module", remedy="reinstall it"
            )

    files.plugins = FakePlugins(bridges=Broken(phone=FakePlugin(None)))
    problem = files.problem("bridges:\n  phone: {}\n")
    assert (problem.line, problem.remedy) == (2, "reinstall it")
    assert "no such module" in problem.message


# --- values --------------------------------------------------------------------------------------


def test_secrets_come_from_environment_file_and_credential(files: Files, tmp_path: Path) -> None:
    files.write("from the file\n", "keys/phone")
    files.write("from systemd", "credentials/key")
    files.environ |= {"TOKEN": "from environ", "CREDENTIALS_DIRECTORY": str(tmp_path / "credentials")}
    loaded = files.load(
        """
        bridges:
          a: {type: phone, token: {env: TOKEN}}
          b: {type: phone, token: {file: keys/phone}}
        models: [{name: m, type: echo, base_url: x, api_key: {credential: key}}]
        gateway: {tokens: [{name: t, token: written here}]}
        """
    )
    bridges, model = loaded.config.bridges, loaded.config.models[0]
    assert isinstance(bridges["a"], PhoneConfig)
    assert isinstance(bridges["b"], PhoneConfig)
    assert isinstance(model, EchoConfig)
    assert model.api_key
    found = [bridges["a"].token, bridges["b"].token, model.api_key, loaded.config.gateway.tokens[0].token]
    assert [secret.reveal() for secret in found] == [
        "from environ",
        "from the file",
        "from systemd",
        "written here",
    ]
    assert [secret.origin for secret in found] == [
        "environment TOKEN",
        f"file {tmp_path / 'keys/phone'}",
        "credential key",
        f"{tmp_path / 'config.yaml'}:6",
    ]
    assert set(loaded.secrets) == {"from environ", "from the file", "from systemd", "written here"}
    assert loaded.files == (tmp_path / "config.yaml", tmp_path / "keys/phone", tmp_path / "credentials/key")
    assert "from environ" not in repr(loaded.config)


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("{env: NOPE}", "no value: the variable NOPE is not set"),
        ("{env: EMPTY}", "no value: the variable EMPTY is empty"),
        ("{file: nope}", "No such file or directory"),
        ("{file: .}", "is not a regular file"),
        ("{file: empty}", "is empty"),
        ("{file: binary}", "is not UTF-8 text"),
        ("{file: huge}", "is too large"),
        ("{credential: x}", "CREDENTIALS_DIRECTORY is not set"),
        ("'${NOPE}'", "the variable NOPE is not set"),
    ],
)
def test_secret_that_is_not_there_is_told_once(files: Files, reference: str, message: str) -> None:
    files.write("\n", "empty")
    files.write(b"\xff\xfe\x00", "binary")
    files.write("x" * (MAX_SECRET_BYTES + 1), "huge")
    files.environ["EMPTY"] = ""
    problem = files.problem(f"bridges: {{phone: {{token: {reference}}}}}")
    assert problem.key == "bridges.phone.token"
    assert message in problem.message


def test_credential_can_not_leave_its_directory(files: Files, tmp_path: Path) -> None:
    files.write("outside", "outside")
    files.environ["CREDENTIALS_DIRECTORY"] = str(tmp_path / "credentials")
    assert (
        "not a credential's name"
        in files.problem("bridges: {phone: {token: {credential: ../outside}}}").message
    )


def test_missing_secret_file_is_among_those_to_watch(files: Files, tmp_path: Path) -> None:
    files.write("include: other.yaml\nbridges: {phone: {token: {file: nope}}}\n")
    with pytest.raises(ConfigError) as raised:
        files.load()
    assert raised.value.files == (tmp_path / "config.yaml", tmp_path / "other.yaml", tmp_path / "nope")


def test_variables_are_filled_in_and_can_be_escaped(files: Files) -> None:
    files.environ |= {"WHO": "Ada", "PORT": "8080"}
    config = files.load(
        "agent: {instructions: 'You help ${WHO}, $5, $${WHO}.'}\ngateway: {port: \"${PORT}\"}"
    ).config
    assert config.agent.instructions == "You help Ada, $5, ${WHO}."
    assert config.gateway.port == 8080


def test_secret_readable_by_others_is_noted(files: Files, tmp_path: Path) -> None:
    files.write("of the file", "key", mode=0o644)
    loaded = files.load("bridges: {phone: {token: {file: key}}}")
    assert loaded.notes == (
        f"{tmp_path / 'key'} holds a secret and others may read it; chmod 600 {tmp_path / 'key'}",
    )


def test_configuration_with_a_secret_readable_by_others_is_noted(files: Files, tmp_path: Path) -> None:
    path = files.write("bridges: {phone: {token: written here}}\n", mode=0o644)
    assert files.load().notes == (f"{path} holds a secret and others may read it; chmod 600 {path}",)
    path.chmod(0o600)
    assert files.load().notes == ()


def test_password_in_a_url_counts_as_a_secret(files: Files) -> None:
    loaded = files.load('network: {proxy: "http://me:hunter2@proxy:3128"}')
    assert loaded.secrets == ("hunter2",)


def test_paths_are_within_the_folder_of_the_file_that_says_them(files: Files, tmp_path: Path) -> None:
    files.write(
        'models: [{name: a, type: echo, base_url: x, file: "m.gguf"}]\nnetwork: {ca_file: ~/ca.pem}',
        "sub/part.yaml",
    )
    config = files.load("state_dir: state\ninclude: sub/part.yaml").config
    assert config.state_dir == str(tmp_path / "state")
    assert isinstance(config.models[0], EchoConfig)
    assert config.models[0].file == str(tmp_path / "sub/m.gguf")
    assert config.network.ca_file == str(tmp_path / "home/ca.pem")


@pytest.mark.parametrize(
    "line",
    [
        "bridges: {phone: {token: tell-nobody-1, strem: 1}}",
        "bridges: {phone: {token: 'tell-nobody-1', strem: 1}}",
        "gateway: {tokens: [{name: a, token: tell-nobody-1, scope: x}]}",
        "models: [{name: a, type: echo, base_url: x, api_key: tell-nobody-1, bas: 1}]",
        "models: [{name: a, type: echo, base_url: x, api_key: [tell-nobody-1]}]",
        "bridges: {phone: {token: [tell-nobody-1]}}",
        "bridges: {phone: {password: tell-nobody-1}}",
        "bridges: {phone: {token: long enough, pass_code: tell-nobody-1}}",
    ],
)
def test_secret_in_the_file_is_not_in_what_is_told(files: Files, line: str) -> None:
    assert "tell-nobody" not in repr(files.problems(line))


@pytest.mark.parametrize(
    ("text", "unpriced"),
    [
        ("", []),
        ("budgets: {month_usd: 5}", ["dear"]),
        ("budgets: {user_day_usd: 5}", ["dear"]),
        ("budgets: {warn_at: 0.5}", []),
    ],
)
def test_a_budget_that_can_not_count_a_models_cost_is_noted(
    files: Files, text: str, unpriced: list[str]
) -> None:
    models = (
        "models:\n"
        "  - {name: dear, type: echo, base_url: 'https://example.com/v1'}\n"
        "  - {name: known, type: echo, base_url: 'https://example.com/v1', price: {input: 1, output: 2}}\n"
        "  - {name: demo, type: demo}\n"
    )
    files.plugins = FakePlugins(models={"echo": FakePlugin(EchoConfig), "demo": FakePlugin(ModelConfig)})
    notes = files.load(models + text).notes
    assert [note.partition("model ")[2].partition(" has no price")[0] for note in notes] == unpriced
    assert all(":2:" in note for note in notes)


def test_owner_on_a_bridge_that_is_not_configured_is_noted(files: Files) -> None:
    (note,) = files.load("access: {owners: ['phnoe:1']}\nbridges: {phone: {token: long enough}}").notes
    assert note.endswith("the owner phnoe:1 belongs to no configured bridge; did you mean 'phone'?")


def test_an_owner_may_be_a_token_of_the_gateway(files: Files) -> None:
    assert list(files.load("access: {owners: ['api:ops', 'terminal:1000']}").notes) == []


def test_each_value_tells_its_origin(files: Files, tmp_path: Path) -> None:
    files.environ["TOKEN"] = "from environ"
    origins = files.load("bridges: {phone: {token: {env: TOKEN}}}\nagent:\n  max_steps: 3\n").origins
    assert origins == {
        "bridges.phone.token": "environment TOKEN",
        "agent.max_steps": f"{tmp_path}/config.yaml:3",
    }


# --- includes ------------------------------------------------------------------------------------


def test_included_files_are_merged_section_by_section(files: Files, tmp_path: Path) -> None:
    files.write("gateway: {port: 1}\nagent: {max_steps: 2}", "a.yaml")
    files.write("gateway: {max_body_bytes: 2048}\ninclude: deep/c.yaml", "b.yaml")
    files.write("journal: {max_queue: 3}", "deep/c.yaml")
    loaded = files.load("include: [a.yaml, b.yaml]\ngateway: {hosts: [x]}\nagent:\n")
    config = loaded.config
    assert (config.gateway.port, config.gateway.max_body_bytes, config.gateway.hosts) == (1, 2048, ("x",))
    assert (config.agent.max_steps, config.journal.max_queue) == (2, 3)
    assert loaded.files == tuple(
        tmp_path / name for name in ("config.yaml", "a.yaml", "b.yaml", "deep/c.yaml")
    )


def test_key_set_in_two_files_is_told_with_both_places(files: Files, tmp_path: Path) -> None:
    files.write("gateway:\n  port: 1\n", "a.yaml")
    problem = files.problem("gateway: {port: 2}\ninclude: a.yaml\n")
    assert problem.place == f"{tmp_path}/a.yaml:2:3"
    assert problem.message == f"'gateway.port' is set twice, first at {tmp_path}/config.yaml:1:11"


def test_file_that_includes_itself_is_refused(files: Files, tmp_path: Path) -> None:
    files.write("include: config.yaml\n", "a.yaml")
    problem = files.problem("include: a.yaml\n")
    assert problem.place == f"{tmp_path}/a.yaml:1:10"
    assert "includes itself" in problem.message


def test_missing_include_is_told_where_it_is_named(files: Files, tmp_path: Path) -> None:
    problem = files.problem("include:\n- nope.yaml\n")
    assert problem.place == f"{tmp_path}/config.yaml:2:3"
    assert "No such file" in problem.message


@pytest.mark.parametrize("text", ["include: 3", "include: [[a]]", "include: {a: b}"])
def test_include_of_a_wrong_type_is_refused(files: Files, text: str) -> None:
    assert files.problem(text).message == "expected a file name or a list of them"


def test_mistake_in_an_included_file_is_told_there(files: Files, tmp_path: Path) -> None:
    files.write("agent:\n  max_steps: x\n", "a.yaml")
    assert files.problem("include: a.yaml\n").place == f"{tmp_path}/a.yaml:2:14"


def test_unreadable_file_is_one_clear_problem(files: Files, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").mkdir()
    assert files.problem().message == "can't be read: Is a directory"


def test_key_in_a_url_counts_as_a_secret(files: Files) -> None:
    loaded = files.load("network: {proxy: 'http://proxy:3128/?api_key=hunter2&n=1'}")
    assert "hunter2" in loaded.secrets
    assert view(loaded.config)["network"]["proxy"] == f"http://proxy:3128/?api_key={MASK}&n={MASK}"
