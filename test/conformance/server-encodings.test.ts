import { hexOf, SQL_ASCII_ROWS, testEncodings } from '../fixtures/encoding-cases';

/** 0x81 means nothing, and after 0xc3 it looks like UTF-8. */
const WIN1252_ROWS = [hexOf('plain'), '80', 'e9', '81', 'c381', '5c81e9', 'ff'];

testEncodings([
  { source: 'SQL_ASCII', target: 'SQL_ASCII', rows: SQL_ASCII_ROWS, refused: [] },
  { source: 'SQL_ASCII', target: 'UTF8', rows: SQL_ASCII_ROWS, refused: [2, 3, 4, 5, 6, 8, 9, 10] },
  { source: 'LATIN1', target: 'UTF8', rows: [hexOf('plain'), 'e9', 'ff', 'a0', '8081'], refused: [] },
  { source: 'UTF8', target: 'LATIN1', rows: [hexOf('plain'), hexOf('é'), hexOf('ẞ'), hexOf('👩')], refused: [2, 3] },
  { source: 'WIN1252', target: 'UTF8', rows: WIN1252_ROWS, refused: [3, 4, 5], loose: true },
]);
