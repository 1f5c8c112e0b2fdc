#!/bin/sh
# Builds packages/NAME/dist, the content of a library's npm package: its code as one module, and its types.
#   library.sh NAME        npm runs it before it packs (`prepack`)
set -eu
cd "$(dirname "$0")/.."
name=$1
package=packages/$name

# The types refer to those of the libraries that it imports, so build these first.
for below in $(sed -n 's|.*"@l3dsr/\([a-z]*\)": "[0-9.]*".*|\1|p' "$package/package.json"); do
	sh packaging/library.sh "$below"
done

mkdir -p build
# Several packages may be packed at the same time, and each builds the libraries that it imports.
exec 9>build/.libraries.lock
flock 9
rm -rf "$package/dist"
node_modules/.bin/esbuild "$package/src/index.ts" --bundle --packages=external --platform=node --format=esm \
	--target=node24 --outfile="$package/dist/index.js" --log-level=warning
config=$package/tsconfig.types.json
trap 'rm -f "$config"' EXIT
cat >"$config" <<CONFIG
{
	"extends": "../../tsconfig.json",
	"compilerOptions": {
		"noEmit": false, "emitDeclarationOnly": true, "declaration": true,
		"rootDir": "src", "outDir": "dist", "customConditions": []
	},
	"include": [], "files": ["src/index.ts"]
}
CONFIG
node_modules/.bin/tsc -p "$config"
# The types import .ts files. The package has .d.ts files, which TypeScript finds by the name .js.
find "$package/dist" -name '*.d.ts' -exec sed -i -E 's|(from "\.[^"]*)\.ts"|\1.js"|' {} +
sed -i '1i /// <reference lib="esnext.disposable" />' "$package/dist/index.d.ts"
