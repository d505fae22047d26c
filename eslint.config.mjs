// House rules that a machine can check. Reasons stand beside the rules.
import importX from 'eslint-plugin-import-x';
import { createTypeScriptImportResolver } from 'eslint-import-resolver-typescript';
import tseslint from 'typescript-eslint';

const floor = (target, except, message) => ({ target: `./${target}`, from: '.', except: [...except.map((dir) => `./${dir}`), './node_modules'], message });

export default tseslint.config(
  { ignores: ['node_modules/**', '.caravan/**', 'coverage/**', '**/*.cjs', '**/*.mjs', 'test/replay/histories/**'] },
  ...tseslint.configs.recommendedTypeChecked,
  {
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    plugins: { 'import-x': importX },
    settings: {
      'import-x/extensions': ['.ts'],
      'import-x/parsers': { '@typescript-eslint/parser': ['.ts'] },
      'import-x/resolver-next': [createTypeScriptImportResolver()],
    },
    rules: {
      'import-x/no-cycle': ['error', { ignoreExternal: true }],
      // Three floors: migration is the ground; workflows, activities and scripts stand on it and not on each other; workers sees all.
      'import-x/no-restricted-paths': ['error', {
        zones: [
          floor('migration', ['migration'], 'migration/ is pure: it imports nothing but itself, so that it loads in the workflow sandbox.'),
          floor('workflows', ['migration', 'workflows'], 'workflows/ decides only: it meets activities through migration/protocol.ts.'),
          floor('activities', ['migration', 'activities'], 'activities/ stands on migration/ alone.'),
          floor('scripts', ['migration', 'scripts', 'workers', 'package.json'], 'scripts/ reaches systems only through workers/door.ts.'),
        ],
      }],
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true, allowNullish: false }],
      // Indexes are checked by noUncheckedIndexedAccess; hot loops say `!` where the loop bound proves them.
      '@typescript-eslint/no-non-null-assertion': 'off',
      // Interfaces ask for promises that some implementations have at once.
      '@typescript-eslint/require-await': 'off',
      // The reason of an abort signal is whatever was given.
      '@typescript-eslint/only-throw-error': 'off',
      '@typescript-eslint/prefer-promise-reject-errors': 'off',
      '@typescript-eslint/unbound-method': 'off',
    },
  },
  {
    files: ['scripts/**/*.ts'],
    ignores: ['scripts/stack/**'],
    rules: {
      'no-restricted-imports': ['error', { patterns: [{ group: ['pg', '**/workers/*', '!**/workers/door', '!**/workers/door-contract'], message: 'scripts/ reaches systems only through workers/door.ts.' }] }],
    },
  },
  {
    files: ['workflows/**/*.ts', 'migration/**/*.ts'],
    rules: {
      'no-restricted-imports': ['error', { patterns: [{ group: ['node:*', 'fs', 'path', 'crypto', 'os', 'net', 'http', 'https', 'child_process', 'worker_threads', 'pg'], message: 'The workflow sandbox has no Node built-ins and no drivers.' }] }],
      'no-console': 'error',
    },
  },
  {
    files: ['workflows/**/*.ts'],
    rules: {
      'no-restricted-syntax': ['error', { selector: "ImportDeclaration[importKind!='type'][source.value=/plan\\/(schema|parse|lint|units)$/]", message: 'Schema libraries cost memory in every cached workflow: import types only.' }],
    },
  },
  {
    files: ['test/**/*.ts', 'bench/**/*.ts', 'scripts/demo/**/*.ts', 'examples/**/*.ts'],
    rules: {
      'no-restricted-imports': 'off',
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/no-unsafe-member-access': 'off',
      '@typescript-eslint/no-unsafe-argument': 'off',
      '@typescript-eslint/no-unsafe-call': 'off',
      '@typescript-eslint/no-unsafe-return': 'off',
    },
  },
);
