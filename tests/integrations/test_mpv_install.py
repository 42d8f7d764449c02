# SPDX-License-Identifier: Apache-2.0
"""The script comes to where mpv looks, and nothing of the user's is touched."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from qwen_asr_plugin.integrations.mpv import config_folder, install_script, script_text, uninstall_script
from subtitle_hooks import OutputExistsError

needs_mpv = pytest.mark.skipif(shutil.which("mpv") is None, reason="mpv is not installed")


def test_install_and_uninstall(tmp_path, plugin_cli):
    folder = tmp_path / "mpv"
    done = plugin_cli("mpv", "path", "--config-dir", folder)
    assert done.stdout.strip() == str(folder / "scripts" / "qwen-asr.lua")
    assert not folder.exists()
    done = plugin_cli("mpv", "install", "--config-dir", folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(folder / "scripts" / "qwen-asr.lua")
    assert "press Alt+t" in done.stderr
    assert [path.name for path in folder.rglob("*") if path.is_file()] == ["qwen-asr.lua"]
    assert "It was there already" in plugin_cli("mpv", "install", "--config-dir", folder).stderr
    done = plugin_cli("mpv", "uninstall", "--config-dir", folder)
    assert done.stdout.strip() == str(folder / "scripts" / "qwen-asr.lua")
    assert not list((folder / "scripts").iterdir())
    assert "There is no" in plugin_cli("mpv", "uninstall", "--config-dir", folder).stderr


def test_a_script_of_an_older_release_is_replaced(tmp_path):
    install_script(tmp_path)
    path = tmp_path / "scripts" / "qwen-asr.lua"
    path.write_bytes(script_text(Path("/elsewhere/qwen-asr-plugin")).encode())
    assert install_script(tmp_path).changed
    assert b"/elsewhere" not in path.read_bytes()


def test_a_changed_script_stays(tmp_path):
    path = install_script(tmp_path).path
    changed = path.read_text(encoding="utf-8").replace("Alt+t", "Alt+z")
    path.write_text(changed, encoding="utf-8")
    for act in (install_script, uninstall_script):
        with pytest.raises(OutputExistsError, match="is not as this program writes it"):
            act(tmp_path)
    assert path.read_text(encoding="utf-8") == changed
    assert install_script(tmp_path, force=True).changed
    assert "Alt+z" not in path.read_text(encoding="utf-8")
    path.write_text(changed, encoding="utf-8")
    assert uninstall_script(tmp_path, force=True) == path


def test_a_link_stays_a_link(tmp_path):
    target = tmp_path / "dotfiles.lua"
    target.write_bytes(script_text(Path("/elsewhere/qwen-asr-plugin")).encode())
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "qwen-asr.lua").symlink_to(target)
    install_script(tmp_path)
    assert (tmp_path / "scripts" / "qwen-asr.lua").is_symlink()
    assert b"/elsewhere" not in target.read_bytes()


def test_any_path_is_a_text_of_lua():
    assert 'command = "C:\\\\a \\"b\\"\\\\ü.exe",' in script_text(Path('C:\\a "b"\\ü.exe'))


@pytest.mark.parametrize(
    ("environ", "folders"),
    [
        ({}, []),
        ({}, [".mpv"]),
        ({}, [".mpv", ".config/mpv"]),
        ({"XDG_CONFIG_HOME": "{home}/xdg"}, []),
        ({"XDG_CONFIG_HOME": "{home}/xdg"}, [".mpv", ".config/mpv"]),
        ({"XDG_CONFIG_HOME": "{home}/xdg", "MPV_HOME": "{home}/own"}, [".mpv"]),
    ],
)
@needs_mpv
def test_mpv_looks_in_the_same_folder(tmp_path, environ, folders):
    for name in folders:
        (tmp_path / name).mkdir(parents=True)
    environ = {name: value.format(home=tmp_path) for name, value in environ.items()} | {"HOME": str(tmp_path)}
    expected = config_folder(environ)
    script = tmp_path / "where.lua"
    script.write_text('print("HERE " .. mp.command_native({"expand-path", "~~/"}))\nmp.command("quit")\n')
    base = {name: value for name, value in os.environ.items() if name not in ("MPV_HOME", "XDG_CONFIG_HOME", "HOME")}
    command = ["mpv", "--idle", "--vo=null", "--ao=null", f"--script={script}"]
    done = subprocess.run(command, env=base | environ, capture_output=True, text=True, timeout=30, check=False)
    assert f"HERE {expected}" in done.stdout + done.stderr


def test_windows(tmp_path):
    program = tmp_path / "programs" / "mpv.exe"
    program.parent.mkdir()
    program.touch()
    environ = {"APPDATA": str(tmp_path / "roaming"), "HOME": str(tmp_path)}

    def folder(**more):
        return config_folder({**environ, **more}, platform="win32", program=str(program))

    assert folder() == tmp_path / "roaming" / "mpv"
    (program.parent / "portable_config").mkdir()
    assert folder() == program.parent / "portable_config"
    assert folder(MPV_HOME=str(tmp_path / "own")) == tmp_path / "own"


def test_documented_commands(shell, documented, tmp_path):
    install, path, uninstall = documented("mpv.md")
    environ = {"HOME": str(tmp_path / "home"), "XDG_CONFIG_HOME": str(tmp_path / "home")}
    script = config_folder(environ) / "scripts" / "qwen-asr.lua"
    for command, there in ((install, True), (path, True), (uninstall, False)):
        done = shell(command)
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip() == str(script)
        assert script.exists() is there


def test_documented_options_are_those_of_the_script(tmp_path):
    table = (Path(__file__).parents[2] / "docs" / "how-to" / "mpv.md").read_text(encoding="utf-8")
    told = set(re.findall(r"^\| `(\w+)=", table, re.MULTILINE))
    script = script_text(Path("qwen-asr-plugin"))
    options = script[script.index("local options = {") : script.index("read_options")]
    assert told == set(re.findall(r"^    (\w+) = ", options, re.MULTILINE))
