# fish: completion for clawd. It is found by itself in PREFIX/share/fish/vendor_completions.d; elsewhere, `source` it.
# The program itself knows what may follow; see clawd/cli/completion.
function __clawd_complete
    set -l words (commandline -opc)
    set -l begun (commandline -ct)
    set -l offered (env _CLAWD_COMPLETE=fish $words[1] $words[2..-1] "$begun" 2>/dev/null)
    if test (count $offered) -gt 0
        printf '%s\n' $offered
    else
        __fish_complete_path "$begun"
    end
end
complete --command clawd --no-files --keep-order --arguments '(__clawd_complete)'
