// The browser codec of vaecodec, Apache-2.0. Built by web/build.py from web/src; edit that.
const KERNEL = "eNrtXOuPZMdVv89+3X5Oz0z3TM/j3Lszu/PcmR2vDLYBu23W3vUSx/IHJBSc9doe7O3p9Xoe3jjZ2L0iUuSQfIiS+EsEEkigPEgsEV4BRSQhSCCBIj7xhS8gEZDIH4CFcrP8fqfu7e6Z7fE6MkQOWq9vV926VXWrzvmdU+dUnTvW5f2rtmVZ9hftyjNur9eznvF7PU0Lvf5/1jMOf3KDe88k2X5BRtPXrGfyTA4V9uyedvZa/y6Ttir1hv8b9Ic6+UGxOzlh2Y7r+ZlsJpcvBJmi55Wscsbz7Zdt2/Zd27IzFadnt2++YQc9S5PsHziNzNXtq9f2PupYpe1XX7780vOXXrzcvb69b1ney5ef27Hs3HPXXrp+DUWW4+1f6b5iufnnt18+ePEjV/a3LS94tnvtuZ1L2y8dbO9ZfnLX3b6M6hl//7nL3W0rGzx/5fqV57cv7V37yL6VKzy/vfvK5ZcOrnxs28pn9669gld+zCrk+oVB/jf2rl29tPfCs5etYvbgmsmVSlfwjhe29y51L38U7yrnXrh88CJuP2ZVSnjRAQZw6cpLz2+/alXLz28/dw0v3N9+4SpGZtWK+x+9+uy17qXnru0f7Ftjlavbl/df2RtUqJe3XzrUYjy4dOnF7csvX3r28v62axf+/nftiX9yHK/n3nAeEqdtny9ZbSt09cb9QMlC8qNbt25ldyM39MQOfbHCjPuQ+JKJn7atKBsXb/UO/4ufiHLxV+x2Kf5DO8rHRcu62Ru+4ifFlH5k+Ir/3ZYcOrtx+F+8FX/Jjp+SLBM0sm4OX/ET8ZNx4Fjit6sdjC3TznXCjHjtj3cioCQQV5xHS3Ygjrg7GL8lbts+YE0bOQc5ziUj/gam4rRv3bIxz3bpIAKabt78UXZP7L96hKP7wrdQ/9Z/2RdbIEj1gE9vvrq7d6++2jGv9syre+bVQfBJz6n3nNdASlfpimdJ4hyEftvQ0UbD7F6U1cHk9DazF+X1tqC3/l4U6G1Rb729qKS3Zb1196KK3lb11tmLano7prf2XlTX23HxzfODzpJjdcMJ8cJJsLKBITjSkInOimP9vGNhspYVNk0yhaHXxX0CY26g/Thbsl44BYJiujKFFqhTG9QZ69dpsk6uI81RvVYGLaqHey32ey0N6pQP91o9ptdg0KJ4uNfxfq/5QZ3C4V6bh3pF1eygau5w1RlTFTnphCAfWd+QSbJ+kqgjDKOMuOcVB38ylmn1nBt2L3ODcta+uSn+1e+2vathoS9z5BWTXLvYDQMk7gH4bYmNTCcsIfUOwHEWFLudsKK5lO2F7yIbFdqe4Hq8FdW6RNgYkGmfD+vg8jjANqGcnpAaxojM5PkWhjzBkTfxdApPPZliP9OdNjDaCluQi6mdcAYyNCV+V982KxPhHAbdFOdxjDYr051wXsZDkWoYSimMpBKekCaQi3roci5ckEI4p4J76L9w0XkI/bTQyWJ4sggJbcUsPikzbZ+E4G01XAxkQXI6nVPaoH4Oz06GS7iWca2g9SquNVzr7EXwwjA8LVG4ISdCEDo8c1x1mQ0LGOKiFPiqaEs247xlRfdAEcX/ZoeLclKfWNFZSctOyqpsycahequyJIMaS7KGGqcP1ViT5aEay7KOGguHaqzLylCNFVkgWxbkNJPTssFkQzaZbILFQs1whmA7Q3zJvJzqEEpEN8lTMOOWFXQWBxZRPwNc6JMc2Rgt4P2ssZzUwIPioHRpUBp0orS3k0lp0QmSN1Rl3ZRVj+/YFFRlbVBz1JvSaquDaiNe3X/vYlKNHC9gnqMmiTGkM8N70umgL85B260fGfqa3i8MNUThalK4NEyRxaSldgbQSbkDEQiZhBIxieQEkxMyB66hReNXlFVZmTNw7lByNiHFc2Ib0VIGKhPn2r19aXTKrmNbbvAeZOd2iVk0IsA2UCB4E+SdKOsSbiw5Dc3VJeh8IO5IKxWW2URYDMTXhoRlNhGWtb6wrPSBvtaHNoVlrS8sFKfCoRqrKixrfWEpEPWFIxIxSxmYhWBABjZI2BT6mxDiYfwNULGZsDnFVB96m+TzbSD3gqSvIUwe20UKy5VBzeK7Qa/LlyyPHGeCN3aUQFYrrx4ZyEoCxKXhqRxCJ8R1BIK2+gjaCs8OEHT2MIK2hhB0FjzeMmhLkZPixgdHkseAyFYCkaWE9csJK7fAVgORFUnLzgI2SwkAlvuwWZRBjcUjAEg4f5qcPz2K84t35PzZlMfugMcnj+Px2aPM20qZ57D14mjmnU0V5aYyYbjbrYQ5ZxM99J6YI3Xc+uHCgOwJMRePEl0W+yRPCJpQcoGUXDCUPErL/uT1xQ5WoCpbbvYJEW5xeJtmMqaWndSigt0y6nGK1tCUZGgNybiM0RqtMqnCxhujdVNhUpFJmKWwTYzV9EWoP+OV2KlX4mCellgKIlfc+F/VI3jr4eEr/k9T+NfDV/xDO3Lj4gNf/eaDwxdJAmM9Ln7i5ofvG77oi7iCB9bNM98evgwR8T+7g1/w4PAV+XggHJg2T/7FxReuPHnf8MVOit9/5M/vH77YLctzn8r9wvCVln/3Kyu/OHyl5V/96sovDV9pOWj04PCVlGOAXvy23W7AN7t9BvFbrCScR/wfhvUWuWmpuR85YhvevOE75d4keZO4NH0Hxz+AE+O1Z7phHkmzC7h47XGatB4t2CISGLglJK6xZ+kMRRVjxyKpwTRFMgZu19XLpPsSjXeiCRSrGEzChs1pNmrcLjxRExMIp1AnMHWmRUtaKCmbkhlTAlNW+5vDG8dN1/MYQ5IVDC3JhrCDk2yEXvImewLZgskuIFs02UVkSyZ7kjY3TOFTuJaQH3fN6j7etjvRuPoGsKtbMguDYUnmEuaEMtnHmJyC9jDFksovb5rQrKZ4Xk70i8PmCGosY8VdNuv9GHw8nf+yNMjkWnq/ItO8r6b3qzLD+/+tUdHomYC/pGgiF0GV+bAJc+kULPUlDG9eVkDvVRDalfHHqCSqBF1VakxqMsZkTLJMsgAEkFgXzyDxb1zHoU9lcXNCLLhpkQ+GIlPlD91eH93C267+Jlx26mo870a+AhYIo4Ry1hnJ/GT6JHOcPsmO1icZyb6TPsmM0Cc5UpMD0+bJv/edPsneUZ/khvSJSy661AbQvOIbLv5LybPhIY9Bp5BrHthsxXknB13CtBjmVXSUvQWjapSByvEZKBckTSiXAvVPCQn0TxkJ9E8FCfRPlcveAcBUoP4ZQwL9UwdSCka/AJQAXwfaxWPSAKCaklG3uChN4xZHrVQPzEBujZhHsyOkjmIDVLekauqIChLw3ZK6KYlMyQm8bTpVIm6aXcSwkuzJZO0/JUFatIRejCaDddxKteIKsjWTXUV2zGTXMI0WnPB1XKeRn0500DR10LRSH9K6rJILo4tjgqyvqljDkV1ncgJ64BTMfcPsmVT4R/4/ytOPNuDnbIRnqINmpSEtQ4EN9n34zYLFP3m6yfvD4xg5CqFGTtqcOW5g4VxATdvBW4hAchFUWYDm5y7ASXrYIP8m6H4GBPdlWnXQBIEKe4TJpDSYNGDKIJkCIIDephQUvQaKFmSzkGyTRFUoq5tut6N4+47dVe0FwHnCfT6YP9m2fQBo5jD/Ene3h69oHYoIg8qPfLjBh3AaAXM/dBOjKEMgdw1KOQpxdqJWe1NwnW9FKh7CnwWasdCTwDKFxTY6EQiHX8vnS/xZw10Fy0El1ZmQ2U1e51thmYapmW7WJOW2zevxlm4jNaQKmtXCSQxqAkSeDKeTzaVpSaXHQFr3AH4ihbtwnMJdHK1wFwCfd1C4CyMULt0A3YvQ5sm/953CXbyjwj2ZKFxkN0BPAP+HRvu2iN8W5B/JNNDs0TDPqmE+IZ7i3WjBBjVEQ5qPKcJrWMMVIJv8OYu7ggwBSLdegT8FREHKXfoUrbZznZ1Mtt1d1adTip3iBdSZTM4UDDqkFLaAkJYBBqQdIz49PGIYfxMjH8nxjzaPf/QdizRIRHmaRwXTOsvGOR0ahjsNx2RKd2XeeWBKyl7aPnFm3PaTXOEcDsFJV7hvOY5zI9frezPptq8f1yMaHljxHPaUa3u7MJ1zhnjtH5ujFy5SYQBaFVHLvxCWEj1eOmf8It3PwornhY64YW7gJmHpxS9x4GiG9gRnkU1nQfM+qkjFVG6bBUvrp/nbmiSb3jkmWJ+ZUA283onKxFEQOuqUY3LpIEgM6Can37knTuf48YTopUjoFMV+zFDPdUs9+4bTG+FxQK1mdS8cg3FBQlAPz3bheLgpygzl3LZ7ka0f3eX+mm88j1JHMhehPz1xO2Q40CD+xd099lCGAcCNdsfo9LCmDkmRzcDoOgmvXMC0pQ4zBTY+Zg8TF9SphZbut4MAjhX/N/wKNYD0zKBK8iV+1QThN5HQjQcY5rQqpEwVzumqMtZBP57ZNKxC7Mx+oRkVDKJvSH3Fsd40xxH2HonnSP5RNC2JxZXHFWuHShmvJKIdloO6XUh5RUdp6SsOdwVB6KjTd/QNOR28ZM3gXzeDD7BYePTga3DNsOgl3PMM937bD7Lgnv2ac8Pv2a/Zehbi8L5/+mGnCVjkkEXgok+eFsxRSKDT5QlYytOSkOu9DrdTXT0Nw+jETpnIxTWuwexzPxPV4jrJgF/ybBxSMiHZ/ukXnDtytGkOi2gk9TdC9AyoCaGUMpMm1uvmBZhcH1Spm+Ytr4stnoVZF8k5WI/pWUlTpvDKlrGIeMzu4HKN+ViC+9mgOYb2M22bB6VzUo3/1I7m45byCV3PxS13kHUGWXuQ1brEXvyrjmXzx+GPS8i1ADmpw7vDm9H9GGRM5oDUX46f4gI4F8/zxA8jmE+7RJHdL3LSIqdf5KZFLouSVWQmLnqY1fCFZQiTnCW2Z4ntkmpUW7EN62OHzjeau3rkOUnbtkt6NYBu5kiXpp65fUOm3gSAazIN7sCOFqk93cKv++HW53RUxCPZELD9NNxwvGmWinRWYUkfXY04zyxqek6XeOCOQec/el62lyEaezySvQ2TfnJQnB1GZ87gMW/OcgsDWFLVZKhu3HQ3P6dg8UZu9UUlqL8ZC+ANQviHerjuUcvExZvob/gC/TzVJVDX7OjHDw9fNJretoWK/Ad2VB3xplr8cDQm2tT63vAVP4IOn4yfgm6pxW3UeKI9Dzzi52s2gDJ0uO4x8SALY/Ef2dSO5G+G/C3jXyUuMTyjWCpXUmMVMODawkcM3xi2Y2motEAqTNwD/1NoeDtYOS2Yvl6Xb8wqfTukidLSBwo+C+e//nk9pf31aNwsgBOgLndDWfq9p1l2s5cUPkLyQArqmnmmFdU/zVofZC2pf1lrmdP8cCLQnR4e4suEnuxL3szb47y5uERucoxTICAsPrBSbWfwJJngH5ysDT3n4cr0HOg7jLBwG67czwy0mk8dVzLOQZm1cVVUOejZPjVTFdDAUKBcM1BmefiuNreUOPm2HU6ie/APFSEtgdIJ1ltDAkhLg9Ly+S9EDU785gWdOOz0N6HPmgkdUTK2DsU0oVRufNbUTYjU+HI4NSDSFBE+CesI6r9FktVTWhVJqxr8Yt2ycbhlU6d41mESTnLfeJwEHCdeEsIlhM1wNcmA6WUu3hVSs5JSsxB8OmOXbl/3qfrRRtd9Yzrp8m/spWETAA/4PofhE1z2whLXbVxl0LcsbjeEnxNWdRnMgoY5Xudb9N1QbtO0PacbRZwbFxhIEdZkyZxvkTWg2h+DVL1H3iTBvq1KyedyQBq8u8o50i3PqXQiY++kaz9fyV3RiNs/9p1eGfrcOLPpfbrsJplW6ei0lMeByo1NviL5GZ5e8f/p9BixRFOrzLJyakp9wvPzqlKoXgaBRU5/T2x3YAwzdASSYGvICFV1oZtYwh4dCOoTIwZGtQrVuH01qmicCwf34Od0oF/4bFRVNSEm+XArqg2ph9qXw7GBehgLkt5sEKUglW5U6YzosGY6rKUdHlHK44MOxwN9be+RZ2jDJrnJ/kugITs/+YAbg/4bQfuWzc3xFhQBcuMy2QrHmGukL26F47QE2baC9QHWMl0zF6SCMVnBlImS+y2Hq8f9FrlduZ+nglRawOEtO6zQQStBv1HJVgJTw034nkaOpbxW7pfgIWFFsGhP91cY14DgB1te2PPUhh74k1nGE5VSJJjNmTboAwV4oNs2Rn8yA6UXVRLgwOmniqxiZl43qrUz9BgYQRbWUbV4zmjcA40fq9OU8unkTmKVqXZZ3qC+PoDtVSPapgh6DbCjY0/fucDtooMIi1JXy2eEStneS+9nAcM51J1H3VmZN3VLfBYVGVMxw2UlxCNtZB64DK+YoXicaHPjdDpcFD88KRPhKZkMlzTsyAQtnAxX5VS4Jkvh+giT6HS4IafDTVxn0M+WLqZ1WYYFsgIhWcUytgbCrIdjPCbQPat7YPrQvP1L7gO8xU26e2C1JyUbLNlASTEt2WTJJkpqackZlpxJN8GLTIrpMUdy6JGcdnDphKVT0b2ZZWl0MKUVeCGY1SqTVVljsibrTNZlixDZMnpCQllo29dBKKzSZ2DcA3lMLf119NeF44ta9GwZKwc/6pWoBpnFdb6FIVnnWw/YlpwQ7WQz6WRTO9nUTja1k6LxEY9rL6b9RtJ+Q9tvaPuNpH3undpHpv3ppP1pbX9a259O2hf77V1G92l7N22/KFMdjU5BclJOMTklS0yWNKQgWki2v+Zo+c0RgZ1o3lgfkL4Gpa/FspbuRRQ92CQqECeMQMwbgZi5o0DMAlwlFYhSiv0owX6I4gg8y5piUVDPJqCex3hn7oJao6wWSJ/Ifc+ghkP3nkDt4vF7AbXbzvy0QH2CoA5JxvAwqEssKxlQu2q0FE3sYCnR10YFc4uU4cZgDYOQGc5Jxbuo4XF4eRarR7LR66WB4uus2JB8XAOWyvjdQLXSBXRgKpyjCHTSG2j1tncBC4KUdvple+EWcHuK8hJWgPqmxqFNhSsoXVNMV3V93SpZRga465DDxZvwHuAbKAMKm4DgMvC3AvBlQpf24giZ2ZQNnm908CMdxTFEY8Seyls8yvyaHZ0Fm/7Mlnt4POP5uXwRqfknZ0d0fya+b1RdONcfsmkECd+fQZWinewUpVf8ZHQ23XXJoO9kT0az9iB77CbQuxmw3GF41cHwnGQTK73eD8MbGwzPTfbX0uv9MDxqAtWGOaMNc0Yb5qgNXT2JcDn0KoY7fFGj3gN1Cau9TqFtoJUn67pLAi/hOlplkNGvAlwNp6dCKcs7ab1mv9I7a7flQb131GIrg3rFzh207WBdqFI/VY1+CjDwVW7VNpk08eZVsyKsckVYo1JZS7RWQRa4hbDIhJpvgcpnismUnGLFU31Vlh6uUoNhDRnSUCuphmoajXZUQ4XLRr1A6SQBSH1Fs3yMohkjJ4yi4YLabnaO0S9F6pci9QsJATX0U9AvgP+v2fAzVKNpHk4lv8nQPGPUNEMWTXfer1poMImxoUkUBpMAvAbzmOm8X9XVYB7jQ/MoDs3DG5rHXOf9qteizXQekzSXknmUk7ytxo3JW7qequhT0RWPV3Q1Kroa5XyVi7U0VdGNUdUddI7oOveOii4x78rv0owrv0tz7V0outyxim5Moxqh0W0awKlOW6dOS/Scqi/nriV21xK7a4ndtcR+9i0x564ldtcSu2uJ3bXEfiYtsSAIfstzqz37hjd0+OwfF63UjwdxGGXOeBCbQUuq/4oaQKLfcCdBImU23eUZjJ68UCvXkLiD714y4bjwZN9iJC3jak0oCe3CMiY2HjoyEWY1wizLqBBpjgCILntJxFby8YRL9roasgG7sJzEXTTMN/nmgKvR0c9n8tLosuE4Q0E1/KWiVltWI8VIZIfREezZMT33oyMaYu+0P36xxDiOqW44LTa/I+c+ZhW9d8OWMoy5GXQ/pd2jM3CGZY3BzGS6k76LqiUrrcG9x/uZwX2G943BvZm1idPoz5qfnwX8/Ey/e2dcEANUxVcQZGhHZ8RiBIOV4iM5d/0Lz60DC+4QFpwjcYi2+fLJnLnyjgdd7m7I84K3Dd8ZvsZTR29XT+p6PNi1u7TiK/wjB5LtdnhTRYvsIFQR2PABWMtEr7n8cws+5pHpRnZHzJEkSXiBXywxAyrbnQu7YIx1nia99diehjNOYImclLr5tkFRNaWomsDwi+DSZGgDCWX9mxTlGAiSFkDleJlcoVhOl7j4QzxXtUlexn1XGXg33X7VhMCimykpJjGMU/3gCQAiByB0NMxpmg/wjkkMUsrrlnW/RYHO6d+zoEDYwyG1U+ImUMqBUug9p5WInJyeuXfDWc25yM0lw2fX0TQ6neok/fN7B9zPDO4d3s8O7l3ez3X648lzPC7/7EJ6rI9usxpERkw1pEl8NBP9AZfG6BSH4S5JfFkCnb9z7SA5qn+CUQkVnsGDN2EOV96EBincC3o6bM7PPZItMB8VaESjda+jX63bS47HH0udQMIdCQtyKMgf6CcyGkdkTkCiUjt7vf1jd3evw79wUuYDBsSU2rduAZuMMQqWNLoooEQEegSNmVegNFkj0hOc61G1Ax4E+oc7ajsap4Auqte7nShgPTLI4hiybf+6/nmSqIJlhAPQz7CK0Lm4ebTEUD62vlcnUD0wH2rp4oLx7YUgc1ECPsVAXqGqJxZgP17foRW52zJKtWO69R7Vk+28+Hj3B6mfOfu8eT2zuceohDglreOZYeAtbXpT5RZ0Q0Jg89Icq+YCRrbzW10TiJGrkF69/eB3fMfpOa/3z9zJNZVnW6wN22Eb94WIEWvifl28r38y8sV/PfIffvCNKPMlzHFP/Ifn35DMG4ce7LHBqAd3W9xt8TqKURsge9ve3yFGk9g5roBY4RgHF9mqaH6/4NmvZ3q5G/brqkOMwnnYKBmPikYDIhnKYuJAzvWfMt5QYyzFgQ6KVGnnk+8pjaKJqCaiohEVY8zBvOrtw6G7imLc7EQllb+IwSvB4y2BKD8eFVtQOjbkkb4fFqsdSLT1uEZCnXWsjzOClhIvpfN7DAWk4PHbcQoTZpcEyKS2hZ6+c0xhORk4daln5vpo6hce+pa+2g8KjAIGWuIdTlgYFR+rJ+L8CrkshQ0sdNX4U3b8FTuqJ6Z8VOLkNB5T/LjGvTKuGfXEvI9437fxRSuXUK0Sz9jxBxgJa2pejWf4tQD7RNZmMGv8ezaXi/hpNJmIv2nD+qrHD6D+U9GkiQ1vxMVbR/6j79BASyxLtfgBVk1dDlu3CTsyeZvj8bd2/H2bux4M2pTx+L74SZapm5kGqesi/wQGoJ+eMaJ3KGQXa5zHpZ+McmgxF/kFQNEsgWNsdEycrwfKVvl8OESYdTGgeBa8NJ8+OAHj0MyfQ3EfUgiWsTIGXBmVyP4Ahf6xKCyYr4ABR6DQT1DIqIzIMii0dvhx220o9Aco1L+QoFuvQP5gY/YOIvN/LzD8u1TcIKZ1IKUnaGeZGOkI7mtBlzD+xRBdzDzKkBeAik3O8A6i5aaidWSCnFRqnLwv55VOJFm0ja3mcqYZ8e6F6ZFhBzkk+Z9zreCfHTszFDnpsrMsWE9z4uXQBPvDmuMnJK7xQjrAOC2zzMAyy5wracC5b+wej8GbA8tM/8palCEJzJ8DySR0yqV0yoACmZ0oL65WwlRyoBPG+HgLz0ClnKFSbgdtEyqxZp62mDIy1/8gGgQAC/1h3qASJn1R7fqM/sUW2mZ+272uHqi9q3/fhLYjWip11UYrqPdQhP8USKAfm+deQsVcdwc2FK1BsAI2G423QH0q+HTc04tgkV3UJeh/AKQJO+0=";

const KERNEL_FUSED = "eNrtXFuMHMd17eru6Xn0PHd2dmZ29lHdJPfFXe4utVQiKYk0UiiRYiwL+ggQODJFSRuJvUNR+xAtm5aGsBFDfnwYtvUTJAgCJPAjtoE4LycwYjv+SD4MI1/5yVcAOwHin/xFCdxmzrnVPTNLzooyhBhyQFG9VV3vuvfcW7eqbo91af+KsixL/Z6qPOP0+33rmUy/L2GhP/jPesbmn9zw3TVBdpDgSfia9UyewaHEvupLY68N3ry0Vqk/+t+wPZTJD5OdqYalbMfNeFkvly/4XtF1S1bZczPqZaVUxlGW8ip2X3VvvKH8viVB9k/spndl+8rVvQ/bVmn71ZcvvfT8xRcv9a5t71uW+/Kl53YslXvu6kvXriLJst39y71XLCf//PbLBy9+6PL+tuX6z/auPrdzcfulg+09K5O89bYvobiX2X/uUm/byvrPX752+fnti3tXP7Rv5QrPb+++cumlg8sf2bby2b2rr6DLj1iF3CDRz//O3tUrF/deePaSVcweXDWxUuky+nhhe+9i79KH0Vc598Klgxfx+hGrUkJHBxjAxcsvPb/9qlUtP7/93FV0uL/9whWMzKoV9z985dmrvYvPXd0/2LcmKle2L+2/sjcsUC9vv3SoxqR/8eKL25devvjspf1tRxX+4g9V459t2+071+2HtN1V50pW1woceXHeV7IQ/OTmzZvZ3dAJXK2CjLYCz3lIZ7QXP62sMBsXb/YP/4ufCHPxl1W3FP+pCvNx0bJu9Eef+EltUj80+sT/pnQOjV0//C8+HX9RxU/pLANUsm6MPvET8ZOxb1s6061GGJvXzUWBp93uR6MQKPG1o+1HS8rXtnZ2MH5LO111wJIKMRsxzsXTmXVMxe7evKkwz27pIASabtz4SXZPq797hKP7wrdQ/uZ/qQsdEKR6wNwbr+7u3Std26Zr13TdN137/idcu963XwMpHaEr8pLAPggyXUNHhYrZvTArg8nJq7cX5uW1IK+ZvdCX16K8unthSV7L8urshRV5rcqrvRfW5HVCXtVeWJfXSZ0x+QfRkm31goZ2gymwsokh2LqpG9GKbf2ybWGylhW0TNDG0OvaeQJjbqL+JGuyXNAGQTFd3UYNlKkNy0wMyrRYJhfp1rhWK8Ma1cOtFgetloZlyodbrR7Rqj+sUTzc6uSg1fywTOFwq61DraJodlg0d7jojCmKmI4CkI+sb+opsn6KqCMMQ0875wQH/znhzfTt66rvXaecdW9s6MyV73bdK0FhIHPkFYNct9gLfATOAfhtaYVIFJQQugfgOBOKvSioAHU/FbEE3zNdtRvUJC/lfOG7iIaFrqvxPN4J6z1ibhIMbwB3U8L0KV2Pwia5f64TtDB6TKKN3GnkunqaDXSiLuDaCWYgItM7wSzEaVpnetLNnJ4K5jH+trYfx8CzuhMFWjeCQE8EoS4Fx3QlOK7bADHKocn54IQuBPMiw4f+Cxbsh9DODBpZCBaLENaZmMmLerabIU34Wg0WfH1C52QeS1IB0yZ7FoNlPCt4TqL+Kp41PKfYToAuw2BdHws29PFgU2eC00cV13NBAYPcjPOWFd6jC+wy3NIL8e/awYI2CVZ4Ri8yYVFvJOW29CoTVlHijF5mdFmvD/LWmLAmeSuMrugTg7xTTDgleScZPQlOaYr8CfLhhF5nsK43GGzoTQab+jQRdpqg0lovRcQPIX0WZCiYIaKxH6rYtwj1WbBecnJkWHgCvbPESlICGcVh6vIw1Y/CtLXFJLVo+0kPVYxc0qpHN2wSqpj/oOS4ntJiq8NiY7oe9LuQFCNnC5jnuEliDOnM0E86HbTFOUi9U7cMfU3eT4xUROJqkrg8SpGFpKY0BnDpcgSwhwxCfYzBMX2cwXE9D3ahRus3hFVZPW+AG1FGNiGo81oZIRIGChPnu/193YrKjq0sx38XUjJONhYM2FkLWgJ9QbYJsB6RxpR1KKwe8ZYB2G6pBbEwkF7Tc4fFwiSMiMWJpNxWium1oVgUBnmJyKwNxaJAeN8K/TnKwxwkAJjfICFTqG9CTEfxNkTBZsLWFEMDqG2Sr7eB2vWTtkYweGQTKQxPDksW3wlaHXayMnacCb7YUAJRKbx6y0BOJsBbHp3KITRCPMcgZmuAmK3gzBAxZw4jZusQYs6ArVsGXylSUpxkwJMkG5AwrF5OILGit8jJLb2cQOKkPsOEMwnbl/VKipFlfTLFz2G2J/xeJ7/Xx/F74Y78PpNy1hlydvEozp65lWVbKcts1l4Yz7IzqTrcFNKPNruVsORMom3eFUvIEGOLr5uXR80L1tATJD9oJpRdEIJvJPxYNPwQbhiGmHytTY4lbDGcOUFbmWT/jkW6V0F5G5R/THRWzawp65zaSD/VlM8LI80FZ/zhOpQya0BdmZmNFaxKXm8OKB1scf6bhlqmlEpKUU9vGS07TUtqWnu0pHRDT0awXCcYTMA+nKRlVGFQ0U2YszBmjMX1MWhRs6NRKRVtEM3SloDTiYsvXH7yvtFHO/G/yv7i6w+PPvF/mMS/H33iHys28cBXvvng6IMNTAzTPy5+/MYH7xt9NNKsG5vfHn3Qn/CBDf3gkb++f/RBMrKLuU/mfmX0SZK/++WVXx19kuSvfGXl10afJBnTfXD0kWRkYLMluTceHH3CDLmGIm78luo2sX+7vUz8dcXaUvLfDYstcs2SLUFoa2V48H3XLvfr5EGy7RlsgjIH2Oi43ZlekEfQ6gEWbneSZq9LK7eIAEZwCYFjbF5umMKK2eIgqMFmRTABrtZlJ8otTjgZhQ0kizxN6YaEtG4nTVILdZNoG00mUSArjXYAr5yJziCaN9FZRAsmOoeob6LziBZNFCavLplogGjZREOMrXG7/IfHYBwcC04gd9Ix6/5kV0XhpGwVxpRf0DO6pWdhXsxB5OZhbGvYGAHiISzxKZgoTd0xSBr7P0wSWAt4lihsE9jmxbc2W0sTF0far6aJS++4I9o5jUgfE0SQE5DUFvpvY8rT0DMLYMEiaL8Eojt6kmpGVwmcqq4xqOkJBhM6yyALpgJNde0aNH3VsW3unSweQmgL27EwA+YiUuUfbm8zaBa76urHsDWn4kZ+LzRaFCgh6Dkhb4zsez+b7HtHyX52jOxnx8i+l8i+N172vfGy742XfW+87HvjZd9DBqTXGyP7uUT2s3eU/dyI7DvklkPJhe7TGcOt/y66CjveCcg/ueOCnVact3OQe4bFIC/YFzYWjFoQRglnZ6AIELSgCArUFSUE0BVlBNAVFQTQFVUaDwcATYG6YgIBdEUdiCgYXQDwOVwYprCVRdDsUgN4QRtIKOoWy0xHYSeV/RlueFOBd9LoHJqbTgW+k0i7nyYFupMKfohoIvjHEE2U0HFEqyZ6AtGaiS4gOhElpnsHW3CJLmF8nTHyvwzjeDk4aXblQrNp6otpIfSY8qsQVGoKWFt6VS9BomdgbmkdjJHYFb2Kzemq2SpPYWsi8rE20kIjTTx1x6aaSdFg1YcS6UToPRQFswx9sjIsTMiQ7FC3s9gUzKHqPPYJq6D7Ggh+CpTO6GlRDg0iq6GnGGBtZ9DUbQZtcBBwa+mCwC0xlYDtQnI4EVahRW44vUgA8h3VE7UChLg6aw5Csl11ACzlYGyXeLw8+oQr0AcYVH5s5jwzl7UCLjOBk1gWHpHXM7DiKLS9E3a6GxrPuU4oeNb8c5zGJhQYwEd0K6OsAEnsMZm/xD+reKtABVdSZQYh2+BzrhOUAYGOmW7WBOWu4vN4J2h1ueJVQbOaHPE0QOSpYBqphP20TuFusByujtGEqz+bJlw9ShPOjtGEs2M04WqiCVfHa8LV8ZpwdbwmXB2vCVfHa8JVZECXrY7RhHOJJpy9oyacSzQhovOgErZoPzZqsUOcdiCtCKaBWsC1rbOJFesKro16alKem7qVmN1YRAUIG/yzhbeCHgGKnHECZ8L4gi73uFfqdO1rbGSq6+yKomsLRornUWYqObw3KNCloAMkdAwAIJYY8cnREcOCaozN0kdnbRydxY1FJxXZaZ7JT8ssm2dlaBjuNKz4tpyEvP3AhJT9tH4JGhTi53Sf5NJjcwh2uvR8y7bt67n+wPRPz1czcT3kOo+lyGZLua67C/szZ4iXHKaGXD0CH7QqolTmfFBKtG7prNlEyBkSliI3gBkd5IZ7CqyJ+Esc2BL5IddYzCKbzoI2cljRFVO4axYGKZ/Gb6uSnC7nGGDhZEBxfz0Ky8SRH9iyRcbk0kGQGNBB9qBxV9vR0eMJ0EqR0Clq9ZihnuOU+uq63R9jtkN9ZuWIGYNxQEJQz+HJcwFBgjJDOafrXGDtR3d5ppUx5nsp0t4F6ElXOxEZDjTozIXdPbZQxspc0ZYMHro7qIlVX2Q1MLpOwgsXMG1dh/0A6xmzh40J6tQCS06zQQDbiv8HRr5YJnI4XyX5ks1Jg/BrJHTjTYG5FgooU4WzsnpMRGjHNQd1VYidOaMzo4Kl8g1dX7GtN825v9oj8Wydx7YceLS4wjja2qHyRZdEtM10ULcHKa/IKC3p4nBTEIRIdk639pCTweusGfzrZvA+FgWX290a9ipY3BLuuYZ7v5/xs+Cees2+numr15RcOth8H1wzqDQAi2yyCFzMkKcFc+fgy3R51ZTytKTJ9X7EI0xHrp0wOq1SJnIRjWuwx5zPhLW4TjLgL3k2CSlp6Ozgmgk7LXK0ZW5laNIMTg3ksqUFodRlBi2sy63zMKTeL1I3zVc+Fzq8dLIukHMw69KbiJZuo8vEfOJ9to3HMXZdCYZFU640cnqmq3gjOaer8V8qrOMd4ROanos7zjBqD6NqGLXMSQgw9pu2pfjH5h+HkOsAcrqupwlBND8BGYMNVY9/PX4KgoflZJ5XaxjBfNokktQgyU6T7EGSkyY5TEpWkZm46GJWow+WIUxyltieJbZLolGVYFuZK5sGqjtytzhF47VHejWBbsZIl5Zcbn1Dt98EgGt6GtwJYebp2tMd/HU+2PmcjIp4JBt81p/G7hc9zVKRzgosuUsWY801i5pciCV7W9ug859cN9v3iMY+7z5vw2QmuZHNjqIzZ/CYN5emhSEsqWo8qhsnPUHPCVjcsQdvYQnqb8YCeP3AAyZ5i+1Sy8TFG2hv9AH9XNElUNds6KcPjz40hd5Smor8RyqsjumpFj8cTmipan1v9IkfQYNPxk9Bt9TiLko80Z0HHvHnqwpAGbnFdhm4kIWJ+M8UtSP565G/ZfyrxCX6QRRL5UpqlAIGXFuYRT+JUXuVhkoHpMLEXfA/hYa7g5XTgonr9thjVugbkSbmNBgo+Cx23/XPy3Xob4eTZgFsgLq8FGbq955m2o1+kvgIyQMpqEvkmU5Y/zRLvZ+ldP1LUspcmwcNX45deFuuG3KFrvNm3i7nzcUldJKrkwIBYTHDSrWdwZP2/O/bWQU95+Lx+jb0HUZYuA1XzmeGWi1DHVcym4AyS+OpiHKQS3RqpiqggaFAuXpQZnlsKhUPazj5rgqm0Dz4h4KQFl/oBOutqX1IS5PS8vkvhE1O/MZ5mTjs8Tehz1oJHZEysQbF1BAqNz9ryiZEan4paA+J1CbCp2AdQf13SLJ6SqsiaVXD5lPOTGyemdQpnnWYhFM8ZJ0kASeJl4RwCWE9riYemF7m4l0hNSspNQv+pz1Vun3dp+pHHVn3jekky39y+TxiAiCD/dn0U+CyF5S4buMpg75l7WDrjpeqLINZ0DDH51yHezSkK5q2Z+WkhnPjAgMpwpqsvXMdsgZU+3OQqv/ImyTYt0UpZbgckAbvrHCOdMtzKlFo7J107WeXPFoMYSXRTeLtuwwyPLlS3GU6bCaZVunWaQmPfZEbRb4i+AWeXvH/6fToGkRTq8y0cmpKfdzN5EWlUL0MPXjswWHV7tAYpo8GJEGJbwZVdaGXWMIuNxDUJ0YMjGrVVOPqSlgRhxIO7sHPyUC/8NmwKmpCm+CDnbA2oh5qXwomhuphIrm2Q7d5nhf0wko0psGaabCWNniLUp4cNjjpS7f9R56hDZvEpgadQENGP/uAm8P2m373puIRdAeKALFJPdUJJhhrph13gklagqzLWx1Yy9yaOSAVjMkKpkyU3G/xFHPyfovcrtzPOzoqLeDwpgoq3KCVoN+oZCu+KeEkfE9dtFJeC/dL2CFhRbBoTw9WGMeA4Een3aDvig093E9m6bhTSpFgDmG6oA8U4IEczxj9yQiUXlhJgINNP1VkFTNze2Gt63HHQFetoI6ixbNG4x6Io1adplSGm9wprDLVHtOb1NcHsL1qRFuboBdPNm7suXcu8FjoIMSi1JP0GU2lrPbS91nAcA5l6Yozq+dN2RLzwiIdd2a4rATIkkomw6FnwwzF41jXSo7xM8GCbgSLeipYQktzwbI+kbgKLAareilYG2MSnQrW9algA88m2jkti2ldL8MCWYGQnMQytgrCrAUTPKeXs6l7YPrQvP1bpU/RxqWjTDVNWWfKOlKKacoGUzaQUktTNpmymZ5OFxkU03uG5NYhuW7g0glLpyJnM8u6GQW8rG5FmNVJBif1KgP6KyBY06cJkdNGT+hAH++qayAUVulNGPdAHkNL/try18HGF6W4s6VTGvZRr4Q1yCyecx0MyTrXeUBZ+piWRjaSRjakkQ1pZEMaKZo94lH1tam/ntRfl/rrUn89qZ97u/qhqX8qqX9K6p+S+qeS+sVBfYdudFLfSeuf0G3eJi8wWNCLDBb1EoMlzN6NwuPJ8dccLb85IjAK5431AelrUvo6TOvIWUTRhU0iAnHMCMS8EYiZOwrELMBVEoEopdgPE+wHSA7Bs6xJ1gLq2QTU8xjvzF1QW3QtO076hM67BjU2dO8K1A6y3w2ona738wL1MYI6IBmDw6AuMa1kQO2I0VI0vhWlRF8bFcwjUvr1gjX09g14U+Cwc7qkofMsVo/koNdNPbLXWLCp83ENWCrj7zqKlc6jAVPgLEUgSl+g1bvueSwIurQzSNsLTgO3dOgpBBWgvgXUL+t2sILUVcF0VdbX0+l1E08dcnj4EtwDfANlQGELEFwG/lYAPi9waC+OkZkNvc57jAh/dCQ4hmiMOVP5Ou8Yv6pCukn+ldL38BrGzeTyRYTmn94a0/xmfN+4sthcf0DRCNLs30ORokpOitInfjLcSk9dPLSdnMlIVA2jRx4CvZMB6zsMrzocnp0cYqXPe2F4E8PhOcn5Wvq8F4ZHTSDaMGe0Yc5owxy1oSM3EQ6HXsVwRx9q1HugLmG11ym0TdRy9ZqckmCXcA21PETE/d4Rv3UqlLJ+O63XGhR6e+22PCz3tlpsZViuGN1B2w7XhSr1U9XoJx8DP8mj2haDFn3wzIpwkivCKpXKaqK1Cvq4+OQxoOY7TuXTZtDWiyy4OFBl6SUqNRjWkBENtZJqqJbRaLdqqGDZqBconcSLZ6Bolo9QNBPkhFE0XFC7regI/VKkfilSv5AQUEM/B/0C+P+Wwj5DNJrEsankxw8SV1hWJEIWTUfvVS00nMTEyCQKw0kAXsN5zETvVXU1nMfkyDyKI/NwR+YxF71X9Vq4kc5jiuZSMo9yEldi3Ji4JeupiD4VXfFoRVejoqtRzk9ysdYtUXQTVHUH0S26zrmjokvMu/I7NOPK79BceweKLnekopsQ10BodEUDONVpa9RpiZ4T9WXftcTuWmJ3LbG7ltgvviVm37XE7lpidy2xu5bYL6Ql5vv+p1yn2lfX3ZHL58xR3koDfxCb7t/0B1F0WhL9VxQHEvlYOnESKbPqLu9g5OaFWrmGwBl+POKNfhRN/1njSkK7sIyJTQa2bgRZ8TDL0itEt8YARJa9xGMr+XrBIXsdcdmAXVhO/C6a5uN3c8HVpCJvgKbNHitO0hVU3F8qYrVlxVOMRLbpHcGWbdPywDuiqdVO96MXSvTjaPeCaa10m34deVgwzagXdIRhjM2g+bY0j8bAGaY1hzPT01HaF1ULv+UevLt8nxm+e3xvDt/NrI2fxmDWPvrz+asDja5xdhUHVZ0REHi0oz1t0YPBSvGR3Lv+jevUgQVnBAv2LX6Iynw+ZO5c+caLLmc34H3BW4bvdF/jraO7Kzd1fV7sqh6t+Ap/TUBnexFfqqiRHboqAhsZANYy3msOf9cgg3l4vVBF2lxJkoTn+fkQI6Cyis7vgjHWOZr01mN74s7YwBI5pevmowNBVVtQ1cDwi+DSVKCAhLL8+EM5BoJ0B6CyXS9XKJbTJS7+AO9VFclL/+4qHe+mu68aF1g009bFxIexPXCeACByAEIkbk7TzEAfUxikLq9Z1v0WBTonPxxBgVCjLrVt7SRQyoFSaD0nhYicnNy594JZiTmIzSXDZ9PhNBptR0n7/DoB7zPDd5vvs8N3h+9z0WA8eY7H4e8bpNf6aDYrTmTEVFO3iI9Woj+wpTE6xaa7S+JflkDnHx3lJ1f1T9ArocI7ePAmyOHJG9cggXtBbofN/blLsvnm4wHxaLTuteVLcbVku/xjySaQcEfAhBwS8gfy7Yr4EZkbkLDUzV7r/tTZ3Yv4UyJlZtAhptS9eRPYpI+RvyTeRT4lwpcraMy8AqXJEqHc4FwLqxF44MsvZNR2xE8BTVSv9aLQZzkyyOIYst3MNfkdkLCCZYQDkO+gitC5eHm0RFc+1r5XJlA9MF9KyeKC8e0FIHNR+8zFQF6hqicWYD9e26EVudsxSjUyzbqPys12XmfQ9/upnzn7vOme0dxjVEKckpRxzTDQS5e7qXIHuiEhsOk0x6I5n57t/HLWOGLkKqRXf9//g4xt9+3XB3fu5JrIs9LWurJZx3khpMeadr6m3a99IszozOth5uEH3wi9L2KOezrz8Pwb2nvjUMYeK4zLuFvjbo3XkYzSANlban+HGE1857gCYoWjH1yoRNH8ccFVr3v93HX1uugQo3AeNkrGpaIRh0i6shg/kLODXPobio+ltqGDQlHa+eSDRqNoQqqJsGhExRhzMK/6+9jQXUEyXnbCkshfSOcV//GOhig/HhY7UDoK8si9HxarHUi09bh4Qm3Z1kfpQUuJ16Vze3QFpODxQ2sKE2aXOMiktoXcvnNMQTkZOHWpa+b66Lgvz2QtTT6i8OloiT7soDDOP1ZuxPkpb1kX1rHQVeNPqvjLKqwnpnxY4uTEH1Nn4hrPyrhm1BPzPizJp++Jja+lcAnFKvGMit9HT1hT8ko8w68F2Caiis6s8R8pLhfx06jSiL+pYH3V4wdQ/qlwyviGN+PizVv+496hiZpYlmrxAyyabjmUHBNGeuq2jcc/qPgHiqcedNrUk/F98ZNMk21m6qQui/wTGIB8YkaP3hGXXaxxLpd+MsqmxVzkFwBFswROsNIRfr4uKFtl/qiLMMtiQPEseGk+fbB9+qGZnyBxHhIIlrEy+lwZhciZIQozR6KwYD7DBRyBwkyCQnplhJZBobXDj9huQ2FmiEL5AQg5egXyhwezdxCZ/3uB4Q9A8YCY1oEuPUE7y/hIh9i+FmQJ4692yGLmUoZcH1RscYZ3EC0nFa1bJshJpcbJe3Je6USSRdvYag5n6mn3XpgeHhvIIcj/kmP5/2Irb8Rz0mFjWbCe5sTLgXH2hzXHT0gcswuJgHFaZt7QMvPOlsThPGPsHpfOm0PLTH7OLPRIAvPjHF5Cp1xKJw8U8HbCvHakEKaSA50wxsc7yAOVcoZKuR3UTajEknnaYsLI3OBLZRAALMyM8gaFMOkLYtd78psptM0yXeea7EDVrvzaCG1H1BTqio1WkN1DEfsnX5N6ns69hIK53g5sKFqDYAVsNhpvvuypsKfjmV4Ii+yCLEH/C4HSnbg=";

// errors.js
class VaecodecError extends Error {
constructor(message) {
super(message);
this.name = new.target.kind;
}
static kind = "VaecodecError";
}
class FormatError extends VaecodecError {
static kind = "FormatError";
}
class BadMagic extends FormatError {
static kind = "BadMagic";
}
class UnsupportedVersion extends FormatError {
static kind = "UnsupportedVersion";
}
class Truncated extends FormatError {
static kind = "Truncated";
}
class ChecksumMismatch extends FormatError {
static kind = "ChecksumMismatch";
}
class LimitExceeded extends FormatError {
static kind = "LimitExceeded";
}
class CorruptStream extends FormatError {
static kind = "CorruptStream";
}
class WeightsError extends VaecodecError {
static kind = "WeightsError";
}
class UnknownModel extends WeightsError {
static kind = "UnknownModel";
}
class HashMismatch extends WeightsError {
static kind = "HashMismatch";
}
class BackendError extends VaecodecError {
static kind = "BackendError";
}
class CodingError extends VaecodecError {
static kind = "CodingError";
}
class InputError extends VaecodecError {
static kind = "InputError";
}
const KINDS = [
VaecodecError, FormatError, BadMagic, UnsupportedVersion, Truncated, ChecksumMismatch, LimitExceeded, CorruptStream,
WeightsError, UnknownModel, HashMismatch, BackendError, CodingError, InputError,
];
function packError(error) {
return { kind: error instanceof VaecodecError ? error.name : "BackendError", message: error.message ?? String(error) };
}
function unpackError({ kind, message }) {
const Kind = KINDS.find((candidate) => candidate.kind === kind) ?? VaecodecError;
return new Kind(message);
}

// base64.js
async function fromCompressed(text) {
const stream = new Blob([fromBase64(text)]).stream().pipeThrough(new DecompressionStream("deflate"));
return new Uint8Array(await new Response(stream).arrayBuffer());
}
function fromBase64(text) {
return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

// container.js
const MODEL_VERSION = 1;
const LOSSLESS_VERSION = 2;
const MAX_HEADER_BYTES = 2582;
const Tag = { LATENTS: 1, OUTLIERS: 2, ALPHA: 3, LOSSLESS: 4, ICC: 16, EXIF: 17, XMP: 18, POSTFILTER: 129 };
const MAGIC = [0x8f, 0x56, 0x41, 0x43];
const MODES = { 1: "RGB", 2: "L", 3: "RGBA", 4: "LA" };
const MAX_LEVEL = 63;
const MAX_SIDE = 65535;
const VARINT_MAX = 2 ** 32 - 1;
const VARINT_MAX_BYTES = 5;
const OPTIONAL_BIT = 0x80;
const MAX_METADATA = 16 * 2 ** 20;
const METADATA = [Tag.ICC, Tag.EXIF, Tag.XMP];
const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
let value = byte;
for (let bit = 0; bit < 8; bit++) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
return value >>> 0;
});
function crc32(bytes, crc = 0) {
let value = ~crc;
for (let i = 0; i < bytes.length; i++) value = CRC_TABLE[(value ^ bytes[i]) & 0xff] ^ (value >>> 8);
return ~value >>> 0;
}
class Reader {
constructor(bytes, offset = 0) {
this.bytes = bytes;
this.offset = offset;
}
take(count, field) {
const end = this.offset + count;
if (end > this.bytes.length) {
throw new Truncated(`${field}: needs bytes ${this.offset}..${end - 1}, the data have ${this.bytes.length}`);
}
const taken = this.bytes.subarray(this.offset, end);
this.offset = end;
return taken;
}
byte(field) {
return this.take(1, field)[0];
}
u32(field) {
const [a, b, c, d] = this.take(4, field);
return (a | (b << 8) | (c << 16) | (d << 24)) >>> 0;
}
varint(field) {
const start = this.offset;
let value = 0;
for (let index = 0; index < VARINT_MAX_BYTES; index++) {
if (start + index >= this.bytes.length) {
throw new Truncated(`${field}: the data end at byte ${this.bytes.length}, inside the number at byte ${start}`);
}
const byte = this.bytes[start + index];
value += (byte & 0x7f) * 2 ** (7 * index);
if (byte >= 0x80) continue;
if (value > VARINT_MAX) throw new FormatError(`${field} is ${value}; it must be 0..${VARINT_MAX}`);
if (byte === 0 && index > 0) {
throw new FormatError(`${field}: ${value} takes ${index + 1} bytes; only the shortest form is legal`);
}
this.offset = start + index + 1;
return value;
}
throw new FormatError(`${field}: the number at byte ${start} has more than ${VARINT_MAX_BYTES} bytes`);
}
}
function parseHeader(prefix, fileSize = null) {
checkStart(prefix);
const reader = new Reader(prefix, MAGIC.length);
const [version, flags] = reader.take(2, "flags");
const modelId = reader.varint("model id");
const fixed = reader.take(6, "model hash, level, mode");
const header = { version, flags, modelId, modelHash: hex(fixed.subarray(0, 4)), level: fixed[4], modeByte: fixed[5] };
header.width = reader.varint("width");
header.height = reader.varint("height");
const rows = parseTable(reader);
const computed = crc32(prefix.subarray(0, reader.offset));
const stored = reader.u32("header CRC");
if (stored !== computed) throw new ChecksumMismatch(`header CRC is ${computed}; the file states ${stored}`);
checkRanges(header);
header.mode = MODES[header.modeByte];
header.isLossless = version === LOSSLESS_VERSION;
header.hasAlpha = header.mode.endsWith("A");
header.isGray = header.mode.startsWith("L");
checkTable(header, rows);
return layOut(header, rows, reader.offset, fileSize);
}
function parse(data, maxPixels) {
const file = parseHeader(data, data.length);
checkPixels(file, maxPixels);
return file;
}
function checkPixels({ width, height }, maxPixels) {
if (!(width * height <= maxPixels)) {
throw new LimitExceeded(`image has ${width} x ${height} = ${width * height} pixels; the limit is ${maxPixels}`);
}
}
function readSection(data, file, tag) {
const section = file.sections.get(tag);
if (!section) return null;
const content = new Reader(data, section.offset).take(section.length, `section ${tagName(tag)}`);
const computed = crc32(content);
if (computed !== section.crc) {
throw new ChecksumMismatch(`section ${tagName(tag)} CRC is ${computed}; the header states ${section.crc}`);
}
return content;
}
function readAll(data, file) {
return new Map([...file.sections.keys()].map((tag) => [tag, readSection(data, file, tag)]));
}
function parseOutliers(content, symbols) {
const reader = new Reader(content);
const positions = [];
const values = [];
let position = -1;
while (reader.offset < content.length) {
position += reader.varint("outlier position") + 1;
const zigzag = reader.varint("outlier value");
if (position >= symbols) {
throw new CorruptStream(`outlier position is ${position}; it must be below the ${symbols} coded symbols`);
}
positions.push(position);
values.push(zigzag % 2 ? -(zigzag + 1) / 2 : zigzag / 2);
}
return { positions, values };
}
function checkStart(prefix) {
const start = prefix.subarray(0, MAGIC.length);
if (!start.length || start.some((byte, index) => byte !== MAGIC[index])) {
throw new BadMagic(`magic is ${hex(start) || "empty"}; a .vaec file starts with ${hex(MAGIC)}`);
}
const version = new Reader(prefix).take(MAGIC.length + 1, "version")[MAGIC.length];
if (version !== MODEL_VERSION && version !== LOSSLESS_VERSION) {
throw new UnsupportedVersion(`version is ${version}; this release reads ${MODEL_VERSION} and ${LOSSLESS_VERSION}`);
}
}
function parseTable(reader) {
const count = reader.byte("section count");
const rows = [];
for (let number = 0; number < count; number++) {
const tag = reader.byte(`tag of section ${number}`);
const length = reader.varint(`length of section ${number}`);
rows.push({ tag, length, crc: reader.u32(`CRC of section ${number}`) });
}
return rows;
}
function checkRanges(header) {
if (!(header.modeByte in MODES)) throw new FormatError(`mode is ${header.modeByte}; it must be 1..4`);
if (header.flags !== 0) throw new FormatError(`flags is ${header.flags}; it must be 0`);
if (header.version === LOSSLESS_VERSION) checkNoModel(header);
else checkModel(header);
for (const side of ["width", "height"]) {
if (header[side] < 1 || header[side] > MAX_SIDE) {
throw new LimitExceeded(`${side} is ${header[side]}; it must be 1..${MAX_SIDE}`);
}
}
}
function checkModel(header) {
if (header.modelId < 1) throw new FormatError(`model id is ${header.modelId}; it must be 1..${VARINT_MAX}`);
if (header.level > MAX_LEVEL) throw new LimitExceeded(`level is ${header.level}; it must be 0..${MAX_LEVEL}`);
}
function checkNoModel({ modelId, modelHash, level }) {
if (modelId !== 0 || modelHash !== "00000000" || level !== MAX_LEVEL) {
throw new FormatError(
`model id, model hash and level are ${modelId}, ${modelHash} and ${level}; they must be 0, 00000000 and ` +
`${MAX_LEVEL} in version ${LOSSLESS_VERSION}`,
);
}
}
function checkTable(header, rows) {
rows.forEach(({ tag, length }, number) => {
if (number && tag <= rows[number - 1].tag) {
throw new FormatError(`section tag ${tag} follows ${rows[number - 1].tag}; tags must ascend`);
}
if (!Object.values(Tag).includes(tag) && tag < OPTIONAL_BIT) throw new FormatError(`section tag ${tag} is not known`);
if (length < 1) throw new FormatError(`section ${tagName(tag)} has ${length} bytes; it must have 1 or more`);
if (METADATA.includes(tag) && length > MAX_METADATA) {
throw new LimitExceeded(`section ${tagName(tag)} has ${length} bytes; the limit is ${MAX_METADATA}`);
}
});
const present = new Set(rows.map(({ tag }) => tag));
const [needed, barred] = header.isLossless
? [[Tag.LOSSLESS], [Tag.LATENTS, Tag.OUTLIERS, Tag.ALPHA, Tag.POSTFILTER]]
: [[Tag.LATENTS, ...(header.hasAlpha ? [Tag.ALPHA] : [])], [Tag.LOSSLESS, ...(header.hasAlpha ? [] : [Tag.ALPHA])]];
const where = `in version ${header.version}, mode ${header.mode}`;
for (const tag of needed) if (!present.has(tag)) throw new FormatError(`section ${tagName(tag)} is missing ${where}`);
for (const tag of barred) if (present.has(tag)) throw new FormatError(`section ${tagName(tag)} is not legal ${where}`);
}
function layOut(header, rows, start, fileSize) {
const sections = new Map();
let offset = start;
for (const { tag, length, crc } of rows) {
if (Object.values(Tag).includes(tag)) sections.set(tag, { offset, length, crc });
offset += length;
}
if (fileSize !== null && fileSize < offset) {
throw new Truncated(`file has ${fileSize} bytes; header and sections have ${offset}`);
}
checkEnd(fileSize ?? 0, offset);
return { ...header, sections, size: offset };
}
function checkEnd(fileSize, size) {
if (fileSize > size) {
throw new FormatError(`file has ${fileSize} bytes; header and sections have ${size}, nothing may follow`);
}
}
function tagName(tag) {
return Object.keys(Tag).find((name) => Tag[name] === tag) ?? String(tag);
}
function hex(bytes) {
return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

// alpha.js
const FILTERS = { none: 0, sub: 1, up: 2 };
async function unpackAlpha(content, width, height) {
if (!content.length) throw new Truncated("alpha: the section is empty; it starts with a filter byte");
const kind = content[0];
if (!Object.values(FILTERS).includes(kind)) throw new CorruptStream(`alpha filter is ${kind}; it must be 0, 1 or 2`);
const alpha = await inflate(content.subarray(1), width * height);
if (kind === FILTERS.sub) undoSub(alpha, width);
if (kind === FILTERS.up) undoUp(alpha, width);
return alpha;
}
async function packAlpha(alpha, width) {
const distances = { [FILTERS.none]: 0, [FILTERS.sub]: 1, [FILTERS.up]: width };
let best = null;
for (const [kind, distance] of Object.entries(distances)) {
const isAtEdge = Number(kind) === FILTERS.sub ? (i) => i % width === 0 : (i) => i < distance;
const filtered = distance ? alpha.map((value, i) => (isAtEdge(i) ? value : value - alpha[i - distance])) : alpha;
const stream = new Blob([filtered]).stream().pipeThrough(new CompressionStream("deflate"));
const packed = new Uint8Array(await new Response(stream).arrayBuffer());
if (!best || packed.length + 1 < best.length) best = joinedBytes(Number(kind), packed);
}
return best;
}
function joinedBytes(first, rest) {
const bytes = new Uint8Array(1 + rest.length);
bytes[0] = first;
bytes.set(rest, 1);
return bytes;
}
async function inflate(data, size) {
const out = new Uint8Array(size);
const inflater = new DecompressionStream("deflate");
const writer = inflater.writable.getWriter();
let isTaken = false; // all of the data, without an objection: an error after that says that more should come
const end = () => {
isTaken = true;
return writer.close();
};
writer.write(data).then(end).catch(() => {}); // told by the reader
const reader = inflater.readable.getReader();
let count = 0;
for (;;) {
const { done, value } = await reader.read().catch((error) => {
const isCut = isTaken && error.code !== "Z_DATA_ERROR"; // Node takes all before it looks
const Kind = isCut ? Truncated : CorruptStream;
throw new Kind(`alpha: the zlib stream is damaged or cut after ${count} of ${size} bytes (${error.message})`);
});
if (done) break;
if (count + value.length > size) {
await reader.cancel();
throw new CorruptStream(`alpha: more than the ${size} bytes of the image`);
}
out.set(value, count);
count += value.length;
}
if (count !== size) throw new CorruptStream(`alpha: ${count} bytes; it must be ${size}`);
const stated = new Reader(data, data.length - 4).take(4).reduce((value, byte) => value * 256 + byte, 0);
if (stated !== adler32(out)) throw new CorruptStream("alpha: the section goes on behind its zlib stream");
return out;
}
function undoSub(alpha, width) {
for (let start = 0; start < alpha.length; start += width) {
for (let i = start + 1; i < start + width; i++) alpha[i] += alpha[i - 1];
}
}
function undoUp(alpha, width) {
for (let i = width; i < alpha.length; i++) alpha[i] += alpha[i - width];
}
function adler32(bytes) {
let [a, b] = [1, 0];
for (let i = 0; i < bytes.length; ) {
for (const end = Math.min(i + 3800, bytes.length); i < end; i++) {
a += bytes[i];
b += a;
}
a %= 65521;
b %= 65521;
}
return b * 65536 + a;
}

// weights.js
const TYPES = {
F32: Float32Array,
F16: Uint16Array,
I32: Int32Array,
I16: Int16Array,
I8: Int8Array,
U16: Uint16Array,
U8: Uint8Array,
};
const CARD_KEY = "vaecodec";
const MAX_HEADER = 2 ** 20;
function readWeights(bytes) {
const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
const length = bytes.length >= 8 ? Number(view.getBigUint64(0, true)) : -1;
if (length < 2 || length > MAX_HEADER || 8 + length > bytes.length) {
throw new WeightsError(`weights: ${bytes.length} bytes that state a header of ${length}; not a safetensors file`);
}
const { __metadata__: metadata, ...entries } = parseJson(new TextDecoder().decode(bytes.subarray(8, 8 + length)));
const tensors = new Map(
Object.entries(entries).map(([name, entry]) => [name, readTensor(name, entry, bytes, 8 + length)]),
);
return { tensors, card: parseJson(metadata?.[CARD_KEY] ?? "{}") };
}
function parseJson(text) {
try {
return JSON.parse(text);
} catch (error) {
throw new WeightsError(`weights: the header is not JSON (${error.message})`);
}
}
function readTensor(name, { dtype, shape, data_offsets: [start, end] = [] }, bytes, base) {
const Type = TYPES[dtype];
const isShape = Array.isArray(shape) && shape.every((side) => Number.isInteger(side) && side >= 0);
const count = isShape ? shape.reduce((product, side) => product * side, 1) : NaN;
const fits = Type && Number.isInteger(start) && start >= 0 && end - start === count * Type.BYTES_PER_ELEMENT;
if (!fits || base + end > bytes.length) {
throw new WeightsError(`weights: tensor ${name} is ${dtype} ${shape} at ${start}..${end} of ${bytes.length - base}`);
}
return { dtype, shape, data: new Type(bytes.buffer.slice(bytes.byteOffset + base + start, bytes.byteOffset + base + end)) };
}
function tensorOf(tensors, name, dtype, dimensions) {
const tensor = tensors.get(name);
if (!tensor) throw new WeightsError(`weights: there is no tensor ${name}`);
if (tensor.dtype !== dtype || tensor.shape.length !== dimensions) {
throw new WeightsError(`weights: ${name} is ${tensor.dtype} ${tensor.shape}; it must be ${dtype}, ${dimensions} sides`);
}
return tensor;
}

// kernel.js
const PAGE = 65536;
const ALIGNMENT = 16;
const MAX_BYTES = 2 ** 31;
class Kernel {
constructor(module) {
this.run = new WebAssembly.Instance(module).exports;
this.memory = this.run.memory;
this.top = aligned(this.run.__heap_base.value);
this.mark = this.top;
}
keep() {
this.mark = this.top;
}
release() {
this.top = this.mark;
}
allocate(bytes) {
const address = this.top;
this.top = aligned(address + bytes);
const missing = this.top - this.memory.buffer.byteLength;
if (missing > 0) {
try {
if (this.top > MAX_BYTES) throw new RangeError(`${this.top} of at most ${MAX_BYTES} bytes`);
this.memory.grow(Math.ceil(missing / PAGE));
} catch (error) {
throw new BackendError(`no memory left for this image (${error.message})`);
}
}
return address;
}
memoryCopy(to, from, bytes) {
new Uint8Array(this.memory.buffer).copyWithin(to, from, from + bytes);
}
floats(count) {
return this.allocate(4 * count);
}
place(values) {
const address = this.allocate(values.byteLength);
this.view(values.constructor, address, values.length).set(values);
return address;
}
view(Type, address, length) {
return new Type(this.memory.buffer, address, length);
}
}
function aligned(address) {
return Math.ceil(address / ALIGNMENT) * ALIGNMENT;
}

// entropy.js
const SCALE_INDICES = 64;
const LEVELS = 64;
const MAX_SYMBOLS = 4096;
const PROB_TOTAL = 65536;
const BUCKETS = 256;
const ACCUMULATOR_LIMIT = 2 ** 31;
const WEIGHT_MAX = 127;
const FORMATS = [
{ kernel: 3, shift: 3, most: 255, largestInput: 128, shuffled: false },
{ kernel: 1, shift: 8, most: 255, largestInput: 255, shuffled: true },
{ kernel: 3, shift: 8, most: 255, largestInput: 255, shuffled: false },
{ kernel: 1, shift: 10, most: 63, largestInput: 255, shuffled: true },
];
const GROWTH = 4;
const HALO = 2;
const TILE = 16;
const RANS_L = 65536;
const GROUP_LANES = 32;
const MAX_LANES_LOG2 = 13;
const R_LIMIT = 2 ** 20;
const Z_MIN = -128;
const Z_MAX = 127;
const MAX_BITS_PER_BYTE = 17;
class EntropyModel {
constructor(kernel, tensors) {
this.kernel = kernel;
this.layers = FORMATS.map((format, number) => readLayer(kernel, tensors, number, format));
this.y = readTables(tensors, "int.y");
this.z = readTables(tensors, "int.z");
this.zTable = tensorOf(tensors, "int.z_table", "U8", 2);
const [levels, channels] = this.zTable.shape;
this.N = channels;
this.M = this.layers[3].outputs / 4;
if (levels !== LEVELS || this.zTable.data.some((table) => table >= SCALE_INDICES)) {
throw new WeightsError(`weights: int.z_table is ${levels} x ${channels}; it must be ${LEVELS} rows of 0..63`);
}
const inputs = [this.N, this.layers[0].outputs, this.layers[1].outputs / 4, this.layers[2].outputs];
if (this.layers.some((layer, number) => layer.inputs !== inputs[number] || layer.inputs % 8)) {
throw new WeightsError(`weights: the layers of h_scale take ${this.layers.map((l) => l.inputs)}; not ${inputs}`);
}
this.y.address = placeTables(kernel, this.y);
this.z.address = placeTables(kernel, this.z);
}
leastZBits(level) {
return this.#zTables(level).reduce((bits, table) => bits + this.z.leastBits[table], 0);
}
#zTables(level) {
return Array.from(this.zTable.data.subarray(level * this.N, (level + 1) * this.N));
}
zIndex(level, plane) {
const address = this.kernel.allocate(this.N * plane);
const indices = this.kernel.view(Uint8Array, address, this.N * plane);
this.#zTables(level).forEach((table, c) => indices.fill(table, c * plane, (c + 1) * plane));
return address;
}
checkPaid({ level, zHeight, zWidth, payload }) {
if (payload[0] > MAX_LANES_LOG2) throw new CorruptStream(`lanes: log2 is ${payload[0]}; it must be 0..${MAX_LANES_LOG2}`);
const needed = (this.leastZBits(level) * zHeight * zWidth) / MAX_BITS_PER_BYTE;
if (needed > payload.length) {
throw new CorruptStream(`payload has ${payload.length} bytes; ${zHeight} x ${zWidth} positions take ${needed}`);
}
}
decode(stored) {
this.checkPaid(stored);
const { kernel } = this;
const plane = stored.zHeight * stored.zWidth;
const zCount = this.N * plane;
const yCount = this.M * GROWTH ** 2 * plane;
const listed = parseOutliers(stored.outliers, zCount + yCount);
checkMagnitudes(listed);
const split = listed.positions.findIndex((position) => position >= zCount);
const border = split < 0 ? listed.positions.length : split;
const zHat = kernel.allocate(4 * zCount);
const r = kernel.allocate(4 * yCount);
const start = kernel.top; // what follows is not needed any more afterwards
const stream = new Stream(kernel, stored.payload.subarray(1), 2 ** stored.payload[0]);
stream.decode(this.z.address, this.zIndex(stored.level, plane), zCount, false, outliersOf(listed, 0, border, 0), zHat);
checkZ(kernel.view(Int32Array, zHat, zCount));
const index = this.scaleIndex(zHat, stored);
const coded = stream.decode(this.y.address, index, yCount, true, outliersOf(listed, border, undefined, zCount), r);
stream.finish();
const last = listed.positions.at(-1);
if (last >= zCount + coded) throw new CorruptStream(`outlier at ${last}; there are ${zCount + coded} coded symbols`);
kernel.top = start;
return { zHat, r };
}
scaleIndex(zHat, { level, zHeight, zWidth }) {
const { kernel, N, M } = this;
const index = kernel.allocate(M * GROWTH ** 2 * zHeight * zWidth);
const start = kernel.top;
for (let top = 0; top < zHeight; top += TILE) {
for (let left = 0; left < zWidth; left += TILE) {
const [firstRow, firstColumn] = [Math.max(0, top - HALO), Math.max(0, left - HALO)];
const [bottom, right] = [Math.min(zHeight, top + TILE), Math.min(zWidth, left + TILE)];
const height = Math.min(zHeight, bottom + HALO) - firstRow;
const width = Math.min(zWidth, right + HALO) - firstColumn;
const tile = this.#runLayers(zHat + 4 * (firstRow * zWidth + firstColumn), level, height, width, zHeight, zWidth);
const step = GROWTH * width * M;
const corner = tile + 2 * (GROWTH * (top - firstRow) * step + GROWTH * (left - firstColumn) * M);
const [rows, columns] = [GROWTH * (bottom - top), GROWTH * (right - left)];
const at = index + GROWTH * top * GROWTH * zWidth + GROWTH * left;
const plane = GROWTH ** 2 * zHeight * zWidth;
kernel.run.scatter_index(corner, step, rows, columns, M, at, plane, GROWTH * zWidth);
kernel.top = start;
}
}
return index;
}
#runLayers(zHat, level, height, width, zHeight, zWidth) {
const { kernel } = this;
let [x, inner, step] = bordered(kernel, height, width, this.N, FORMATS[0].kernel);
kernel.run.gather_z(zHat, this.N, zHeight * zWidth, zWidth, height, width, inner, step);
this.layers.forEach((layer, number) => {
const growth = layer.shuffled ? 2 : 1;
const next = FORMATS[number + 1]?.kernel ?? 1;
const [out, outInner, outStep] = bordered(kernel, growth * height, growth * width, layer.outputs / growth ** 2, next);
kernel.run.integer_layer(
x, height, width, layer.inputs, layer.kernel, layer.weight, layer.bias + 4 * level * layer.outputs, layer.outputs,
layer.shift, layer.most, outInner, outStep, Number(layer.shuffled),
);
[x, height, width] = [out, growth * height, growth * width];
});
return x;
}
}
function bordered(kernel, height, width, channels, size) {
const radius = (size - 1) / 2;
const step = (width + 2 * radius) * channels;
const count = (height + 2 * radius) * step;
const address = kernel.allocate(2 * count);
kernel.view(Int16Array, address, count).fill(0);
return [address, address + 2 * radius * (step + channels), step];
}
function biasOf(tensors, name) {
const isNarrow = tensors.get(name)?.dtype === "I16";
const { shape, data } = tensorOf(tensors, name, isNarrow ? "I16" : "I32", 2);
return { shape, data: isNarrow ? Int32Array.from(data) : data };
}
function readLayer(kernel, tensors, number, format) {
const name = `int.h_scale.${number}`;
const weight = tensorOf(tensors, `${name}.weight`, "I8", 4);
const bias = biasOf(tensors, `${name}.bias`);
const [outputs, inputs, height, width] = weight.shape;
const { kernel: side, largestInput, shift } = format;
if (height !== side || width !== side || outputs % 4 || bias.shape[0] !== LEVELS || bias.shape[1] !== outputs) {
throw new WeightsError(`weights: ${name} is ${weight.shape}, bias ${bias.shape}; it must be [out, in, ${side}, ${side}]`);
}
const size = inputs * side ** 2;
for (let n = 0; n < outputs; n++) {
const row = weight.data.subarray(n * size, (n + 1) * size);
let worst = 0;
for (let l = 0; l < LEVELS; l++) worst = Math.max(worst, Math.abs(bias.data[l * outputs + n]));
worst += row.reduce((sum, value) => sum + Math.abs(value), 0) * largestInput + 2 ** (shift - 1);
if (worst >= ACCUMULATOR_LIMIT || row.some((value) => value < -WEIGHT_MAX)) {
throw new WeightsError(`weights: ${name}, output ${n}: an accumulator may reach ${worst}, or a weight is -128`);
}
}
const relaid = new Int16Array(weight.data.length);
for (let n = 0; n < outputs; n++) {
for (let c = 0; c < inputs; c++) {
for (let i = 0; i < side ** 2; i++) relaid[n * size + i * inputs + c] = weight.data[n * size + c * side ** 2 + i];
}
}
return { ...format, inputs, outputs, weight: kernel.place(relaid), bias: kernel.place(bias.data) };
}
function readTables(tensors, prefix) {
const sizes = tensorOf(tensors, `${prefix}.sizes`, "I32", 1).data;
const frequencies = tensorOf(tensors, `${prefix}.frequencies`, "U16", 1).data;
const total = sizes.reduce((sum, size) => sum + size, 0);
if (sizes.length !== SCALE_INDICES || total !== frequencies.length || sizes.some((s) => s < 1 || s > MAX_SYMBOLS)) {
throw new WeightsError(`weights: ${prefix} has ${sizes.length} tables of ${total} symbols, ${frequencies.length} given`);
}
const offsets = new Uint32Array(sizes.length + 1).fill(total);
const packed = new Uint32Array(total);
const buckets = new Uint16Array(sizes.length * BUCKETS);
const leastBits = [];
let at = 0;
sizes.forEach((size, table) => {
offsets[table] = at;
let [start, bucket, largest] = [0, 0, 0];
for (let symbol = 0; symbol < size; symbol++, at++) {
const frequency = frequencies[at] + 1;
packed[at] = (frequencies[at] << 16) | start;
start += frequency;
largest = Math.max(largest, frequency);
for (; bucket < BUCKETS && bucket * (PROB_TOTAL / BUCKETS) < start; bucket++) buckets[table * BUCKETS + bucket] = symbol;
}
if (start !== PROB_TOTAL) throw new WeightsError(`weights: ${prefix} table ${table}: frequencies sum to ${start}`);
leastBits.push(16 - Math.log2(largest));
});
return { offsets, packed, buckets, leastBits };
}
function placeTables(kernel, { offsets, packed, buckets }) {
return kernel.place(Uint32Array.of(kernel.place(offsets), kernel.place(packed), kernel.place(buckets)));
}
function checkMagnitudes({ positions, values }) {
const bad = values.findIndex((value) => Math.abs(value) >= R_LIMIT);
if (bad >= 0) throw new CorruptStream(`outlier ${values[bad]} at ${positions[bad]}; it must be below ${R_LIMIT}`);
}
function outliersOf({ positions, values }, from, to, before) {
return { positions: positions.slice(from, to).map((position) => position - before), values: values.slice(from, to) };
}
function checkZ(zHat) {
const bad = zHat.find((value) => value < Z_MIN || value > Z_MAX);
if (bad !== undefined) throw new CorruptStream(`z_hat reaches ${bad}; it must be ${Z_MIN}..${Z_MAX}`);
}
class Stream {
constructor(kernel, payload, lanes) {
this.kernel = kernel;
this.lanes = lanes;
this.groups = Math.max(1, lanes / GROUP_LANES);
const { states, words, bounds } = unpackPayload(payload, lanes, this.groups);
this.states = kernel.place(states);
this.next = kernel.place(bounds.slice(0, -1));
this.ends = kernel.place(bounds.slice(1));
this.address = kernel.place(Uint32Array.of(this.states, lanes, this.next, this.ends, kernel.place(words)));
}
decode(tables, index, count, skip, { positions, values }, out) {
const { kernel } = this;
const listed = [kernel.place(Uint32Array.from(positions)), kernel.place(Int32Array.from(values)), positions.length];
const outliers = kernel.place(Uint32Array.from(listed));
const coded = kernel.run.decode_segment(this.address, tables, index, count, Number(skip), outliers, out);
if (coded < 0) throw new Truncated(`rANS group ${-1 - coded}: the words end in the middle of the symbols`);
return coded;
}
finish() {
const [next, ends] = [this.next, this.ends].map((at) => this.kernel.view(Uint32Array, at, this.groups));
const group = next.findIndex((place, number) => place !== ends[number]);
if (group >= 0) throw new CorruptStream(`rANS group ${group}: ${ends[group] - next[group]} words are left over`);
const states = this.kernel.view(Uint32Array, this.states, this.lanes);
const lane = states.findIndex((state) => state !== RANS_L);
if (lane >= 0) throw new CorruptStream(`rANS lane ${lane} ends in state ${states[lane]}; it must be ${RANS_L}`);
}
}
function unpackPayload(payload, lanes, groups) {
const fixed = 4 * (groups - 1) + 4 * lanes;
if (payload.length < fixed || (payload.length - fixed) % 2) {
throw new Truncated(`payload of ${payload.length} bytes for ${lanes} lanes; it must be ${fixed} and a multiple of 2 more`);
}
const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
const total = (payload.length - fixed) / 2;
const bounds = new Uint32Array(groups + 1);
let claimed = 0;
for (let group = 0; group < groups - 1; group++) {
claimed += view.getUint32(4 * group, true);
if (claimed > total) throw new Truncated(`payload: groups claim ${claimed} words; the data holds ${total}`);
bounds[group + 1] = claimed;
}
bounds[groups] = total;
const states = new Uint32Array(lanes);
const words = new Uint16Array(total);
let at = 4 * (groups - 1);
for (let group = 0, lane = 0; group < groups; group++) {
for (const end = lane + lanes / groups; lane < end; lane++, at += 4) states[lane] = view.getUint32(at, true);
for (let word = bounds[group]; word < bounds[group + 1]; word++, at += 2) words[word] = view.getUint16(at, true);
}
const low = states.findIndex((state) => state < RANS_L);
if (low >= 0) throw new CorruptStream(`rANS lane ${low} starts in state ${states[low]}; it must be ${RANS_L} or more`);
return { states, words, bounds };
}

// layers.js
const BOUNDS = { stream: 64, product: 256, latent: 128, prior: 64 };
const SHIFT_UNIT = 4;
const PANEL = 8;
const BLOCK_BYTES = 56;
function range(count) {
return Array.from({ length: count }, (_, number) => number);
}
class Layers {
constructor(kernel, tensors) {
Object.assign(this, { kernel, tensors });
}
has(name) {
return this.tensors.has(name);
}
floats(name, dimensions) {
const { kernel } = this;
const tensor = tensorOf(this.tensors, name, "F16", dimensions);
const start = kernel.top;
const halves = kernel.place(tensor.data);
const out = kernel.floats(tensor.data.length);
kernel.run.expand_halves(halves, out, tensor.data.length);
const values = kernel.view(Float32Array, out, tensor.data.length).slice();
kernel.top = start;
return { values, shape: tensor.shape };
}
panels(weight, outputs, inputs, order = range(outputs)) {
const { kernel } = this;
const panels = kernel.floats(Math.ceil(outputs / PANEL) * PANEL * inputs);
const start = kernel.top;
kernel.run.pack(kernel.place(weight), kernel.place(Int32Array.from(order)), panels, outputs, inputs);
kernel.top = start;
return panels;
}
read(name) {
const { values, shape: [outputs, inputs, height, width] } = this.floats(`net.${name}.weight`, 4);
const { values: bias } = this.floats(`net.${name}.bias`, 1);
if (height !== 1 || width !== 1 || outputs % 4 || inputs % 4 || bias.length !== outputs) {
throw new WeightsError(`weights: net.${name} is ${outputs} x ${inputs} x ${height} x ${width}, bias ${bias.length}`);
}
return { values, bias, outputs, inputs };
}
conv(name, inputs, outputs) {
const conv = this.read(name);
if ((inputs && conv.inputs !== inputs) || (outputs && conv.outputs !== outputs)) {
throw new WeightsError(`weights: net.${name} is ${conv.outputs} x ${conv.inputs}; it must be ${outputs} x ${inputs}`);
}
return this.placed(conv);
}
placed({ values, bias, outputs, inputs }) {
return { panels: this.panels(values, outputs, inputs), bias: this.kernel.place(bias), inputs, outputs };
}
columns({ values, outputs, inputs }, from, to) {
const cut = new Float32Array(outputs * (to - from));
for (let n = 0; n < outputs; n++) cut.set(values.subarray(n * inputs + from, n * inputs + to), n * (to - from));
return { panels: this.panels(cut, outputs, to - from), bias: 0, inputs: to - from, outputs };
}
up(name) {
const conv = this.read(name);
const channels = conv.outputs / 4;
if (channels % 4) throw new WeightsError(`weights: net.${name} has ${conv.outputs} outputs; 16 must divide them`);
const rows = [0, 1].map((i) => {
const order = [0, 1].flatMap((j) => range(channels).map((c) => 4 * c + 2 * i + j));
const panels = this.panels(conv.values, order.length, conv.inputs, order);
return { panels, bias: this.kernel.place(Float32Array.from(order, (n) => conv.bias[n])) };
});
return { channels, inputs: conv.inputs, rows };
}
down(name, channels, outputs) {
const conv = this.read(name);
if (conv.inputs !== 4 * channels || conv.outputs !== outputs) {
throw new WeightsError(`weights: net.${name} is ${conv.outputs} x ${conv.inputs}; it must be ${outputs} x ${4 * channels}`);
}
const size = 2 * channels;
const rows = [0, 1].map((i) => {
const cut = new Float32Array(outputs * size);
for (let n = 0; n < outputs; n++) {
for (let k = 0; k < size; k++) {
const [j, c] = k < channels ? [0, k] : [1, k - channels];
cut[n * size + k] = conv.values[n * conv.inputs + 4 * c + 2 * i + j];
}
}
return { panels: this.panels(cut, outputs, size), bias: i ? 0 : this.kernel.place(conv.bias), inputs: size, outputs };
});
return { channels, outputs, rows };
}
blocks(name) {
const blocks = [];
while (this.has(`net.${name}.${blocks.length}.conv_in.weight`)) blocks.push(this.block(`${name}.${blocks.length}`));
return blocks;
}
block(name) {
const { kernel } = this;
const entry = this.conv(`${name}.conv_in`);
const channels = entry.inputs;
const out = this.conv(`${name}.conv_out`, channels, channels);
const ffnOut = this.conv(`${name}.ffn_out`, 0, channels);
const ffnIn = this.conv(`${name}.ffn_in`, channels, 2 * ffnOut.inputs);
const { values, shape } = this.floats(`net.${name}.depthwise.weight`, 4);
const { values: bias } = this.floats(`net.${name}.depthwise.bias`, 1);
if (entry.outputs !== channels || String(shape) !== String([channels, 1, 3, 3]) || bias.length !== channels) {
throw new WeightsError(`weights: net.${name} has ${channels} channels, depthwise ${shape}`);
}
const depthwise = kernel.place(Float32Array.from(values, (_, i) => values[(i % channels) * 9 + Math.floor(i / channels)]));
const address = kernel.allocate(BLOCK_BYTES);
kernel.view(Int32Array, address, 2).set([channels, ffnOut.inputs]);
kernel.view(Float32Array, address + 8, 2).set([BOUNDS.stream, BOUNDS.product]);
const parts = [entry.panels, entry.bias, depthwise, kernel.place(bias), out.panels, out.bias];
kernel.view(Int32Array, address + 16, 10).set([...parts, ffnIn.panels, ffnIn.bias, ffnOut.panels, ffnOut.bias]);
return { address, channels, hidden: ffnOut.inputs };
}
factors(name, channels) {
return new LevelTable(this.#table(name, channels), Math.exp);
}
shifts(name, channels) {
if (!this.has(`net.${name}.anchors`)) return { at: () => new Float32Array(channels) };
return new LevelTable(this.#table(name, channels), (value) => SHIFT_UNIT * value);
}
#table(name, channels) {
const table = tensorOf(this.tensors, `net.${name}.anchors`, "F32", 2);
if (table.shape[1] !== channels || table.shape[0] < 2) {
throw new WeightsError(`weights: net.${name}.anchors is ${table.shape}; it must have ${channels} channels`);
}
return table;
}
}
class LevelTable {
constructor({ data, shape }, finish) {
Object.assign(this, { data, shape, finish });
}
at(level) {
const [anchors, channels] = this.shape;
const position = (level / MAX_LEVEL) * (anchors - 1);
const low = Math.min(Math.floor(position), anchors - 2);
const part = Math.fround(position - low);
return Float32Array.from({ length: channels }, (_, c) => {
const [below, above] = [this.data[low * channels + c], this.data[(low + 1) * channels + c]];
return this.finish(Math.fround(below + part * (above - below)));
});
}
}

// rows.js
const CHUNK = 48;
const BAND = 256;
function bandRows(width) {
return Math.max(1, Math.ceil(BAND / width));
}
class Chain {
constructor(stages) {
this.stages = stages;
}
push(address, rows, last) {
return this.stages.reduce((out, stage) => stage.push(out.address, out.rows, last), { address, rows });
}
}
class UpRows {
constructor(kernel, up, width, mostRows) {
Object.assign(this, { kernel, up, width });
this.out = kernel.floats(4 * mostRows * width * up.channels);
}
push(address, rows) {
const { kernel, up, width, out } = this;
const length = 2 * up.channels;
for (let row = 0; row < rows; row++) {
up.rows.forEach(({ panels, bias }, i) => {
const [x, to] = [address + 4 * row * width * up.inputs, out + 4 * (2 * row + i) * width * length];
kernel.run.convolve(x, up.inputs, width, panels, bias, up.inputs, length, to, length, 0);
});
}
return { address: out, rows: 2 * rows };
}
}
class DownRows {
constructor(kernel, down, width, mostRows) {
Object.assign(this, { kernel, down, width });
this.length = 4 * width * down.channels; // bytes of a row
this.waiting = kernel.allocate(this.length);
this.isWaiting = false;
this.out = kernel.floats(Math.ceil(mostRows / 2) * (width / 2) * down.outputs);
}
push(address, rows) {
const { kernel, down: { outputs, rows: halves }, width, length, out } = this;
const addresses = [...(this.isWaiting ? [this.waiting] : []), ...Array.from({ length: rows }, (_, i) => address + i * length)];
const count = Math.floor(addresses.length / 2);
for (let row = 0; row < count; row++) {
halves.forEach(({ panels, bias, inputs }, i) => {
const to = out + 4 * row * (width / 2) * outputs;
kernel.run.convolve(addresses[2 * row + i], inputs, width / 2, panels, bias, inputs, outputs, to, outputs, i);
});
}
this.isWaiting = addresses.length % 2 > 0;
if (this.isWaiting) kernel.memoryCopy(this.waiting, addresses.at(-1), length);
return { address: out, rows: count };
}
}
class SingleRows {
constructor(kernel, conv, width, mostRows) {
Object.assign(this, { kernel, conv, width });
this.out = kernel.floats(mostRows * width * conv.outputs);
}
push(address, rows) {
const { kernel, conv: { panels, bias, inputs, outputs }, width, out } = this;
kernel.run.convolve(address, inputs, rows * width, panels, bias, inputs, outputs, out, outputs, 0);
return { address: out, rows };
}
}
class BlockRows {
constructor(kernel, block, width, mostRows) {
Object.assign(this, { kernel, block });
this.width = width;
this.length = 4 * width * block.channels; // bytes of a row
this.x = kernel.allocate((mostRows + 1) * this.length);
this.entered = kernel.allocate((mostRows + 3) * this.length);
this.scratch = kernel.floats(width * block.channels + CHUNK * 3 * block.hidden);
[this.xRows, this.enteredRows, this.used] = [0, 1, 0]; // above the image are zeros
this.#clear(0);
}
#clear(row) {
this.kernel.view(Uint8Array, this.entered + row * this.length, this.length).fill(0);
}
#shift() {
const { kernel, length, used } = this;
kernel.memoryCopy(this.x, this.x + used * length, (this.xRows - used) * length);
kernel.memoryCopy(this.entered, this.entered + used * length, (this.enteredRows - used) * length);
this.xRows -= used;
this.enteredRows -= used;
}
push(address, rows, last) {
const { kernel, block, length } = this;
this.#shift();
kernel.memoryCopy(this.x + this.xRows * length, address, rows * length);
kernel.run.block_enter(block.address, address, rows * this.width, this.entered + this.enteredRows * length);
this.xRows += rows;
this.enteredRows += rows;
if (last) this.#clear(this.enteredRows++);
this.used = Math.max(0, this.enteredRows - 2);
for (let row = 0; row < this.used; row++) {
const above = this.entered + row * length;
const x = this.x + row * length;
kernel.run.block_leave(block.address, x, above, above + length, above + 2 * length, this.width, this.scratch);
}
return { address: this.x, rows: this.used };
}
}

// networks.js
const STEPS = 4;
const POSITIONS = [[0, 0], [1, 1], [0, 1], [1, 0]];
const PATCH = 8;
const PREVIEW_SIDE = 2;
const FLAG_GRAY = 1;
class Networks {
constructor(kernel, tensors, { N, M }) {
this.kernel = kernel;
[this.N, this.M] = [N, M];
const layers = new Layers(kernel, tensors);
this.hMean = [layers.up("h_mean.0.0"), layers.block("h_mean.1"), layers.up("h_mean.2.0"), layers.block("h_mean.3")];
this.P = this.hMean[3].channels;
this.adaptors = range(STEPS - 1).map((step) => this.#adaptor(layers, `context.adaptors.${step}`));
this.trunk = layers.blocks("context.trunk");
this.heads = range(STEPS).map((step) => this.#quarters(layers, `context.heads.${step}`));
this.up = layers.up("g_s.up.0");
this.blocks = layers.blocks("g_s.blocks");
this.C = this.up.channels;
this.head = layers.conv("g_s.head", this.C, 3 * PATCH ** 2);
this.preview = layers.has("preview.weight") ? this.#previewHead(layers) : null;
this.#checkWidths();
this.gain = layers.factors("log_gain", M);
this.zGain = layers.factors("log_z_gain", N);
this.prior = [layers.factors("log_q_prior", this.P), layers.shifts("shift_prior", this.P)];
this.entry = [layers.factors("log_q_dec", this.C), layers.shifts("shift_dec", this.C)];
}
reconstruct({ zHat, r }, shape, advance) {
return this.#runSteps({ zHat, r }, shape, advance);
}
quantize({ zHat, y, index }, shape, advance) {
const { kernel, M } = this;
const r = kernel.allocate(4 * 16 * shape.zHeight * shape.zWidth * M);
const start = kernel.top;
const encoder = { y, index, bad: 0 };
this.#runSteps({ zHat, r, encoder }, shape, advance);
kernel.top = start;
if (encoder.bad) throw new CodingError(`r: ${encoder.bad} values are 2^20 or more, or no numbers: the networks cannot code this image`);
return r;
}
#runSteps({ zHat, r, encoder = null }, { level, zHeight, zWidth }, advance = () => {}) {
const { kernel, M, P } = this;
const [height, width] = [4 * zHeight, 4 * zWidth];
const yHat = kernel.floats(height * width * M);
kernel.view(Float32Array, yHat, height * width * M).fill(0);
const start = kernel.top;
const p = kernel.floats(height * width * P);
this.#prior(zHat, level, zHeight, zWidth, p);
const gain = kernel.place(this.gain.at(level));
const inside = kernel.top;
for (let step = 0; step < STEPS; step++) {
this.#contextStep(step, { p, yHat, r, encoder, gain, height, width });
kernel.top = inside;
advance((step + 1) / STEPS);
}
kernel.top = start;
return yHat;
}
#prior(zHat, level, zHeight, zWidth, p) {
const { kernel, N, P } = this;
const [gain, factors, shifts] = [this.zGain, ...this.prior].map((table) => kernel.place(table.at(level)));
const band = bandRows(zWidth);
const rows = kernel.floats(band * zWidth * N);
const [first, firstBlock, second, secondBlock] = this.hMean;
const chain = new Chain([
new UpRows(kernel, first, zWidth, band),
new BlockRows(kernel, firstBlock, 2 * zWidth, 2 * band),
new UpRows(kernel, second, 2 * zWidth, 2 * band + 1),
new BlockRows(kernel, secondBlock, 4 * zWidth, 4 * band + 2),
]);
let done = 0;
for (let top = 0; top < zHeight; top += band) {
const count = Math.min(band, zHeight - top);
kernel.run.divide_rows(zHat, zHeight * zWidth, top * zWidth, count * zWidth, N, gain, rows);
const out = chain.push(rows, count, top + count === zHeight);
const positions = out.rows * 4 * zWidth;
kernel.run.scale(out.address, positions, P, factors, shifts, BOUNDS.prior);
kernel.memoryCopy(p + 4 * done * P, out.address, 4 * positions * P);
done += positions;
}
}
#contextStep(step, { p, ...image }) {
const { kernel, M, P } = this;
const { yHat, height, width } = image;
const band = bandRows(width);
const known = kernel.floats(band * width * P);
const mu = kernel.floats((width / 2) * (M / STEPS));
const chain = new Chain(step ? this.trunk.map((block, n) => new BlockRows(kernel, block, width, band + n)) : []);
let row = 0;
for (let top = 0; top < height; top += band) {
const count = Math.min(band, height - top);
let out = { address: p + 4 * top * width * P, rows: count };
if (step) {
const { ofPrior, ofLatents } = this.adaptors[step - 1];
this.#convolve(ofPrior, out.address, count * width, known);
this.#convolve(ofLatents, yHat + 4 * top * width * M, count * width, known, true);
out = chain.push(known, count, top + count === height);
}
for (let i = 0; i < out.rows; i++, row++) {
this.#codeRow(step, row, out.address + 4 * i * width * P, { ...image, mu });
}
}
}
#codeRow(step, row, features, { mu, yHat, r, encoder, gain, height, width }) {
const { kernel, M, P } = this;
const [size, plane] = [M / STEPS, height * width];
for (let quarter = 0; quarter < STEPS; quarter++) {
const [rowOffset, column] = POSITIONS[(step + quarter) % STEPS];
if (row % 2 !== rowOffset) continue;
const { panels, bias } = this.heads[step][quarter];
kernel.run.convolve(features + 4 * column * P, 2 * P, width / 2, panels, bias, P, size, mu, size, 0);
const first = quarter * size;
const inRows = 4 * ((row * width + column) * M + first);
const inPlanes = first * plane + row * width + column;
const means = [mu, width / 2, size, BOUNDS.latent];
const gains = gain + 4 * first;
if (encoder) {
const { y, index } = encoder;
encoder.bad += kernel.run.quantize(...means, y + inRows, M, index + inPlanes, plane, gains, r + 4 * inPlanes);
}
kernel.run.dequantize(...means, r + 4 * inPlanes, plane, gains, yHat + inRows, M);
}
}
synthesize(yHat, { level, zHeight, zWidth }, image, show) {
const { kernel, M, C } = this;
const [height, width] = [4 * zHeight, 4 * zWidth];
const start = kernel.top;
const band = bandRows(4 * width);
const [factors, shifts] = this.entry.map((table) => kernel.place(table.at(level)));
const up = new UpRows(kernel, this.up, width, band);
const blocks = new Chain(this.blocks.map((block, n) => new BlockRows(kernel, block, 2 * width, 2 * band + n)));
const painter = new Painter(kernel, image, PATCH, 2 * width);
const shades = kernel.floats(2 * width * 3 * PATCH ** 2);
for (let top = 0; top < height; top += band) {
const count = Math.min(band, height - top);
const entered = up.push(yHat + 4 * top * width * M, count);
kernel.run.scale(entered.address, entered.rows * 2 * width, C, factors, shifts, Infinity);
const out = blocks.push(entered.address, entered.rows, top + count === height);
for (let i = 0; i < out.rows && painter.top < image.height; i++) {
this.#convolve(this.head, out.address + 4 * i * 2 * width * C, 2 * width, shades);
painter.paint(shades, show);
}
}
kernel.top = start;
}
synthesizePreview(yHat, { zHeight, zWidth }, image, show) {
const { kernel, M } = this;
const [height, width] = [4 * zHeight, 4 * zWidth];
const start = kernel.top;
const outputs = 3 * PREVIEW_SIDE ** 2;
const shades = kernel.floats(width * outputs);
const painter = new Painter(kernel, image, PREVIEW_SIDE, width);
for (let row = 0; row < height && painter.top < image.height; row++) {
this.preview.forEach(({ dy, dx, panels, bias }, number) => {
const [from, to] = [Math.max(0, -dx), Math.min(width, width - dx)];
if (row + dy < 0 || row + dy >= height || from >= to) return;
const x = yHat + 4 * ((row + dy) * width + from + dx) * M;
const out = shades + 4 * from * outputs;
kernel.run.convolve(x, M, to - from, panels, bias, M, outputs, out, outputs, Number(number > 0));
});
painter.paint(shades, show);
}
kernel.top = start;
}
#convolve({ panels, bias, inputs, outputs }, x, positions, out, onto = false) {
this.kernel.run.convolve(x, inputs, positions, panels, bias, inputs, outputs, out, outputs, Number(onto));
}
#quarters(layers, name) {
const conv = layers.read(name);
if (conv.inputs !== this.P || conv.outputs !== this.M || this.M % 16) {
throw new WeightsError(`weights: net.${name} is ${conv.outputs} x ${conv.inputs}; it must be ${this.M} x ${this.P}`);
}
const size = conv.outputs / STEPS;
return range(STEPS).map((quarter) =>
layers.placed({
values: conv.values.slice(quarter * size * conv.inputs, (quarter + 1) * size * conv.inputs),
bias: conv.bias.slice(quarter * size, (quarter + 1) * size),
inputs: conv.inputs,
outputs: size,
}),
);
}
#adaptor(layers, name) {
const conv = layers.read(name);
const { P, M } = this;
if (conv.inputs !== P + M || conv.outputs !== P) throw new WeightsError(`weights: net.${name} is ${conv.outputs} x ${conv.inputs}`);
const ofPrior = { ...layers.columns(conv, 0, P), bias: this.kernel.place(conv.bias) };
return { ofPrior, ofLatents: layers.columns(conv, P, P + M) };
}
#previewHead(layers) {
const { values, shape } = layers.floats("preview.weight", 4);
const { values: bias } = layers.floats("preview.bias", 1);
const outputs = 3 * PREVIEW_SIDE ** 2;
if (String(shape) !== String([outputs, this.M, 3, 3]) || bias.length !== outputs) {
throw new WeightsError(`weights: preview.weight is ${shape}; it must be ${[outputs, this.M, 3, 3]}`);
}
const places = [4, 0, 1, 2, 3, 5, 6, 7, 8];
return places.map((place) => {
const weight = Float32Array.from({ length: outputs * this.M }, (_, i) => values[i * 9 + place]);
const panels = layers.panels(weight, outputs, this.M);
const [dy, dx] = [Math.floor(place / 3) - 1, (place % 3) - 1];
return { dy, dx, panels, bias: place === 4 ? this.kernel.place(bias) : 0 };
});
}
#checkWidths() {
const { N, M, P, C } = this;
const [first, block, second] = this.hMean;
const widths = [first.inputs, first.channels, block.channels, second.inputs, second.channels, this.up.inputs];
const same = this.trunk.every(({ channels }) => channels === P) && this.blocks.every(({ channels }) => channels === C);
if (String(widths) !== String([N, P, P, P, P, M]) || !same) {
throw new WeightsError(`weights: channels ${widths} do not fit N ${N}, M ${M}, P ${P}, C ${C}`);
}
}
}
class Painter {
constructor(kernel, image, side, positions) {
Object.assign(this, { kernel, image, side });
this.top = 0;
this.width = Math.min(image.width, side * positions);
this.rgba = kernel.allocate(4 * side * this.width);
this.alpha = image.alpha ? kernel.allocate(side * this.width) : 0;
}
paint(shades, show) {
const { kernel, image, side, width, top } = this;
const rows = Math.min(side, image.height - top);
if (image.alpha) {
kernel.view(Uint8Array, this.alpha, rows * width).set(image.alpha.subarray(top * width, (top + rows) * width));
}
kernel.run.to_rgba(shades, side, width, rows, this.alpha, image.isGray ? FLAG_GRAY : 0, this.rgba);
this.top += rows;
show(top, rows, kernel.view(Uint8ClampedArray, this.rgba, 4 * rows * width).slice());
}
}

// lossless.js
const WEBP = 1;
const MIN_TILE = 256;
const MAX_TILE = 16383;
const HEAD_BYTES = 25;
const SIGNATURE = 0x2f;
async function decodeTiles(file, content, sink) {
const tiles = parseTiles(content, file);
sink.start();
while (tiles.length) {
const { top, height } = tiles[0];
const row = tiles.splice(0, tiles.filter((tile) => tile.top === top).length);
const rgba = new Uint8ClampedArray(4 * file.width * height);
for (const tile of row) {
const pixels = await decodeTile(tile);
for (let i = 0; i < height; i++) {
const line = pixels.subarray(4 * i * tile.width, 4 * (i + 1) * tile.width);
rgba.set(line, 4 * (i * file.width + tile.left));
}
}
if (file.isGray) toGray(rgba);
sink.rows?.(top, height, rgba);
sink.progress?.((top + height) / file.height);
}
}
function parseTiles(content, { width, height, mode, hasAlpha }) {
const reader = new Reader(content);
const codec = reader.byte("lossless codec");
if (codec !== WEBP) throw new CorruptStream(`lossless codec is ${codec}; it must be ${WEBP} (WebP)`);
const [tileWidth, tileHeight] = [["tile width", width], ["tile height", height]].map(([field, whole]) => {
const side = reader.varint(field);
const [least, most] = [Math.min(MIN_TILE, whole), Math.min(MAX_TILE, whole)];
if (side < least || side > most) throw new CorruptStream(`${field} is ${side}; it must be ${least}..${most}`);
return side;
});
const tiles = [];
for (let top = 0; top < height; top += tileHeight) {
for (let left = 0; left < width; left += tileWidth) {
const name = `tile at ${left}, ${top}`;
const webp = reader.take(reader.varint(`length of the ${name}`), name);
const tile = { left, top, width: Math.min(tileWidth, width - left), height: Math.min(tileHeight, height - top), webp };
checkWebp(tile, name, mode, hasAlpha);
tiles.push(tile);
}
}
if (reader.offset !== content.length) {
throw new CorruptStream(`section LOSSLESS has ${content.length} bytes; its tiles end at ${reader.offset}`);
}
return tiles;
}
function checkWebp({ webp, width, height }, name, mode, hasAlpha) {
if (webp.length < HEAD_BYTES) {
throw new Truncated(`${name}: ${webp.length} bytes; a lossless WebP file has ${HEAD_BYTES} or more`);
}
const view = new DataView(webp.buffer, webp.byteOffset, webp.byteLength);
const text = (at) => String.fromCharCode(...webp.subarray(at, at + 4));
if (text(0) !== "RIFF" || text(8) !== "WEBP" || text(12) !== "VP8L" || webp[20] !== SIGNATURE) {
throw new CorruptStream(`${name}: it must be a lossless WebP image and nothing else`);
}
const [riff, chunk, bits] = [4, 16, 21].map((at) => view.getUint32(at, true));
if (riff !== webp.length - 8 || chunk + (chunk % 2) !== webp.length - 20) {
throw new CorruptStream(`${name}: has ${webp.length} bytes, but states ${riff} and ${chunk}`);
}
const [w, h, alpha, version] = [(bits & 0x3fff) + 1, ((bits >>> 14) & 0x3fff) + 1, (bits >>> 28) & 1, bits >>> 29];
if (w !== width || h !== height) throw new CorruptStream(`${name}: the WebP file is ${w} x ${h}; it must be ${width} x ${height}`);
if (version !== 0 || (alpha && !hasAlpha)) {
throw new CorruptStream(`${name}: alpha is ${alpha} in mode ${mode}, WebP version ${version}; it must be 0`);
}
}
async function decodeTile({ webp, width, height }) {
const pixels = globalThis.ImageDecoder ? await decodeFrame(webp, width, height) : null;
return pixels ?? decodeOnCanvas(webp, width, height);
}
async function decodeFrame(webp, width, height) {
const options = { data: webp.slice(), type: "image/webp", colorSpaceConversion: "none", premultiplyAlpha: "none" };
const decoder = new ImageDecoder(options);
try {
const { image } = await decoder.decode({ completeFramesOnly: true });
const pixels = new Uint8ClampedArray(4 * width * height);
const isKnown = /^(RGB|BGR)[AX]$/.test(image.format ?? "");
if (isKnown) await image.copyTo(pixels, { layout: [{ offset: 0, stride: 4 * width }] });
const format = image.format;
image.close();
return isKnown ? inOrder(pixels, format) : null;
} catch (error) {
throw new CorruptStream(`the WebP image of a tile is damaged (${error.message})`);
} finally {
decoder.close();
}
}
function inOrder(pixels, format) {
for (let i = 0; i < pixels.length; i += 4) {
if (format.startsWith("BGR")) [pixels[i], pixels[i + 2]] = [pixels[i + 2], pixels[i]];
if (format.endsWith("X")) pixels[i + 3] = 255;
}
return pixels;
}
async function decodeOnCanvas(webp, width, height) {
const blob = new Blob([webp], { type: "image/webp" });
const options = { colorSpaceConversion: "none", premultiplyAlpha: "none" };
const bitmap = await createImageBitmap(blob, options).catch((error) => {
throw new CorruptStream(`the WebP image of a tile is damaged (${error.message})`);
});
const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
if (!context) throw new BackendError(`a canvas of ${width} x ${height} cannot be had`);
context.drawImage(bitmap, 0, 0);
bitmap.close();
return context.getImageData(0, 0, width, height).data;
}
function toGray(rgba) {
for (let i = 0; i < rgba.length; i += 4) {
const gray = Math.floor((rgba[i] + rgba[i + 1] + rgba[i + 2] + 1) / 3);
rgba.fill(gray, i, i + 3);
}
}

// postfilter.js
const FILTER_KIND = 1;
const FILTER_COLOURS = 3;
const FILTER_REACH = 2;
const [SHIFT_MIN, SHIFT_MAX] = [4, 9];
const LARGEST_WEIGHT = 511;
const MOST_ZEROS = 9;
const FILTER_OFFSETS = Array.from({ length: 25 }, (_, place) => [Math.floor(place / 5) - FILTER_REACH, (place % 5) - FILTER_REACH]).slice(13);
const FILTER_WEIGHTS = FILTER_COLOURS * FILTER_COLOURS * FILTER_OFFSETS.length;
const TO_YCOCG = [
[1, 2, 1],
[2, 0, -2],
[-1, 2, -1],
];
const TO_RGB = [
[1, 1, -1],
[1, 0, 1],
[1, -1, -1],
];
function parsePostfilter(content) {
if (content?.[0] !== FILTER_KIND) return null;
if (content.length < 2) throw new Truncated("POSTFILTER ends before its shift");
const shift = content[1];
if (shift < SHIFT_MIN || shift > SHIFT_MAX) {
throw new FormatError(`POSTFILTER shift is ${shift}; it must be ${SHIFT_MIN}..${SHIFT_MAX}`);
}
return { shift, taps: tapsOf(parseWeights(content.subarray(2))) };
}
function parseWeights(content) {
const bits = Array.from(content, (byte) => byte.toString(2).padStart(8, "0")).join("");
const weights = [];
let place = 0;
for (let number = 0; number < FILTER_WEIGHTS; number++) {
const first = bits.indexOf("1", place);
const end = 2 * first - place + 1;
if (first < 0 || end > bits.length) throw new Truncated(`POSTFILTER ends inside weight ${number} of ${FILTER_WEIGHTS}`);
if (first - place > MOST_ZEROS) {
throw new FormatError(`POSTFILTER weight ${number} is too long; it must be ${-LARGEST_WEIGHT}..${LARGEST_WEIGHT}`);
}
const value = parseInt(bits.slice(first, end), 2);
weights.push(value % 2 ? -(value - 1) / 2 : value / 2);
place = end;
}
const rest = bits.slice(place);
if (rest.length >= 8 || rest.includes("1")) {
throw new FormatError(`POSTFILTER has ${rest.length} bits behind its last weight; it must be fewer than 8, all 0`);
}
return weights;
}
function planesOf(length) {
return Array.from({ length: FILTER_COLOURS }, () => new Int32Array(length));
}
function tapsOf(weights) {
const colours = [0, 1, 2];
const weight = (to, of, k) => weights[(FILTER_COLOURS * to + of) * FILTER_OFFSETS.length + k];
const tap = (colour, source, k) =>
colours.reduce(
(sum, a) => sum + colours.reduce((part, b) => part + TO_RGB[colour][a] * weight(a, b, k) * TO_YCOCG[b][source], 0),
0,
);
return colours.map((source) => FILTER_OFFSETS.map((_, k) => colours.map((colour) => tap(colour, source, k))));
}
class FilteredRows {
constructor({ shift, taps }, { width, height, isGray }, show) {
Object.assign(this, { shift, taps, width, height, isGray, show });
this.planes = Array.from({ length: 2 * FILTER_REACH + 1 }, () => planesOf(width + 2 * FILTER_REACH));
this.alphas = Array.from({ length: 2 * FILTER_REACH + 1 }, () => new Uint8Array(width));
this.sums = planesOf(width);
}
push(top, rows, rgba) {
const { width, height } = this;
const isLast = top + rows === height;
const from = Math.max(0, top - FILTER_REACH);
const to = isLast ? height : top + rows - FILTER_REACH;
const out = new Uint8ClampedArray(4 * width * Math.max(0, to - from));
const emit = (row) => {
if (row >= from) this.#filter(row, out.subarray(4 * width * (row - from), 4 * width * (row - from + 1)));
};
for (let row = top; row < top + rows; row++) {
this.#keep(row, rgba.subarray(4 * width * (row - top), 4 * width * (row - top + 1)));
emit(row - FILTER_REACH);
}
if (isLast) for (let row = Math.max(0, height - FILTER_REACH); row < height; row++) emit(row);
if (out.length) this.show(from, to - from, out);
}
#keep(row, rgba) {
const { width } = this;
const slot = row % this.planes.length;
for (let c = 0; c < FILTER_COLOURS; c++) {
const plane = this.planes[slot][c];
for (let j = 0; j < width; j++) plane[FILTER_REACH + j] = rgba[4 * j + c];
plane.fill(plane[FILTER_REACH], 0, FILTER_REACH);
plane.fill(plane[FILTER_REACH + width - 1], FILTER_REACH + width);
}
for (let j = 0; j < width; j++) this.alphas[slot][j] = rgba[4 * j + 3];
}
#row(row) {
return this.planes[Math.min(Math.max(row, 0), this.height - 1) % this.planes.length];
}
#filter(row, out) {
const { width, sums, shift } = this;
const middle = this.#row(row);
const [red, green, blue] = sums;
for (const sum of sums) sum.fill(1 << (shift + 1));
FILTER_OFFSETS.forEach(([down, right], k) => {
const [below, above] = [this.#row(row + down), this.#row(row - down)];
for (let d = 0; d < FILTER_COLOURS; d++) {
const [toRed, toGreen, toBlue] = this.taps[d][k];
if (!toRed && !toGreen && !toBlue) continue;
const [under, over, here] = [below[d], above[d], middle[d]];
for (let j = 0, at = FILTER_REACH; j < width; j++, at++) {
const bend = under[at + right] + over[at - right] - 2 * here[at];
red[j] += toRed * bend;
green[j] += toGreen * bend;
blue[j] += toBlue * bend;
}
}
});
const alpha = this.alphas[row % this.alphas.length];
for (let j = 0; j < width; j++) {
for (let c = 0; c < FILTER_COLOURS; c++) out[4 * j + c] = middle[c][FILTER_REACH + j] + (sums[c][j] >> (shift + 2));
if (this.isGray) out.fill(Math.floor((out[4 * j] + out[4 * j + 1] + out[4 * j + 2] + 1) / 3), 4 * j, 4 * j + 3);
out[4 * j + 3] = alpha[j];
}
}
}

// decoder.js
const Z_CELL = 64;
const PREVIEW_SCALE = 8;
const NO_OUTLIERS = new Uint8Array(0);
const PREVIEW_PIXELS = 200_000;
class Model {
constructor(module, weights) {
const { tensors } = readWeights(weights);
this.kernel = new Kernel(module);
this.entropy = new EntropyModel(this.kernel, tensors);
this.networks = new Networks(this.kernel, tensors, this.entropy);
this.kernel.keep();
}
}
async function decode(data, { loadModel, maxPixels, sink = {}, preview = true }) {
const file = parse(data, maxPixels);
const contents = readAll(data, file);
if (file.isLossless) {
await decodeTiles(file, contents.get(Tag.LOSSLESS), { ...sink, start: () => sink.start?.(describe(file, contents)) });
return;
}
const model = await loadModel(file);
const stored = storedLatents(file, contents);
model.entropy.checkPaid(stored);
const alpha = file.hasAlpha ? await unpackAlpha(contents.get(Tag.ALPHA), file.width, file.height) : null;
const image = { width: file.width, height: file.height, isGray: file.isGray, alpha };
const postfilter = parsePostfilter(contents.get(Tag.POSTFILTER));
try {
const latents = model.entropy.decode(stored);
sink.start?.(describe(file, contents));
const context = 0.2;
const yHat = model.networks.reconstruct(latents, stored, (part) => sink.progress?.(part * context));
if (preview && model.networks.preview && file.width * file.height > PREVIEW_PIXELS) {
sink.preview?.(previewOf(model.networks, yHat, stored, image));
}
const show = (top, rows, rgba) => {
sink.rows?.(top, rows, rgba);
sink.progress?.(context + ((1 - context) * (top + rows)) / file.height);
};
if (postfilter) {
const filtered = new FilteredRows(postfilter, image, show);
model.networks.synthesize(yHat, stored, { ...image, isGray: false }, (...band) => filtered.push(...band));
} else {
model.networks.synthesize(yHat, stored, image, show);
}
} finally {
model.kernel.release();
}
}
async function decodeLatents(data, { loadModel, maxPixels }) {
const file = parse(data, maxPixels);
const contents = readAll(data, file);
const { entropy, kernel } = await loadModel(file);
const stored = storedLatents(file, contents);
try {
const { zHat, r } = entropy.decode(stored);
const { zHeight, zWidth } = stored;
const zShape = [entropy.N, zHeight, zWidth];
const rShape = [entropy.M, 4 * zHeight, 4 * zWidth];
const copy = (address, shape) => kernel.view(Int32Array, address, shape.reduce((a, b) => a * b)).slice();
return { level: file.level, zShape, rShape, zHat: copy(zHat, zShape), r: copy(r, rShape) };
} finally {
kernel.release();
}
}
function storedLatents(file, contents) {
return {
level: file.level,
zHeight: Math.ceil(file.height / Z_CELL),
zWidth: Math.ceil(file.width / Z_CELL),
payload: contents.get(Tag.LATENTS),
outliers: contents.get(Tag.OUTLIERS) ?? NO_OUTLIERS,
};
}
function describe(file, contents) {
const { width, height, mode } = file;
return { width, height, mode, icc: contents.get(Tag.ICC) ?? null, exif: contents.get(Tag.EXIF) ?? null };
}
function previewOf(networks, yHat, stored, image) {
const width = Math.ceil(image.width / PREVIEW_SCALE);
const height = Math.ceil(image.height / PREVIEW_SCALE);
const rgba = new Uint8ClampedArray(4 * width * height);
const reduced = { width, height, isGray: image.isGray, alpha: image.alpha && reduceAlpha(image, width, height) };
networks.synthesizePreview(yHat, stored, reduced, (top, rows, band) => rgba.set(band, 4 * top * width));
return { width, height, rgba };
}
function reduceAlpha({ alpha, width: wide, height: high }, width, height) {
const middle = (place, side) => Math.min(PREVIEW_SCALE * place + PREVIEW_SCALE / 2, side - 1);
return Uint8Array.from({ length: width * height }, (_, i) => alpha[middle(Math.floor(i / width), high) * wide + middle(i % width, wide)]);
}
class Models {
constructor(module, find) {
Object.assign(this, { module, find });
this.loaded = new Map();
}
async load(file) {
const key = `${file.modelId}-${file.modelHash}`;
if (!this.loaded.has(key)) {
const weights = await this.find(file);
if (!weights) throw new UnknownModel(`the weights of model ${file.modelId}, ${file.modelHash}, are not at hand`);
this.loaded.set(key, new Model(this.module, weights));
}
return this.loaded.get(key);
}
has(model) {
return [...this.loaded.values()].includes(model);
}
trim(mostBytes) {
for (const [key, model] of this.loaded) {
if (model.kernel.memory.buffer.byteLength > mostBytes) this.loaded.delete(key);
}
}
}
async function compileKernel({ plain, fused }) {
try {
if (fused && WebAssembly.validate(fused)) return await WebAssembly.compile(fused);
return await WebAssembly.compile(plain);
} catch (error) {
throw new BackendError(`this browser has no WebAssembly with SIMD, or a policy forbids it (${error.message})`);
}
}

// pack.js
const MAGIC_BYTES = [0x8f, 0x56, 0x41, 0x43];
const MODE_BYTES = { RGB: 1, L: 2, RGBA: 3, LA: 4 };
const FLAGS = 0;
function packVarint(value) {
const bytes = [];
for (; value > 0x7f; value = Math.floor(value / 128)) bytes.push((value & 0x7f) | 0x80);
return [...bytes, value];
}
function packOutliers({ positions, values }) {
const bytes = [];
positions.forEach((position, number) => {
const gap = position - (number ? positions[number - 1] : -1) - 1;
const value = values[number];
bytes.push(...packVarint(gap), ...packVarint(value < 0 ? -2 * value - 1 : 2 * value));
});
return Uint8Array.from(bytes);
}
function packFile({ modelId, modelHash, level, mode, width, height }, sections) {
const rows = sections.filter(([, content]) => content?.length);
const head = [...MAGIC_BYTES, MODEL_VERSION, FLAGS, ...packVarint(modelId), ...fromHex(modelHash), level, MODE_BYTES[mode]];
head.push(...packVarint(width), ...packVarint(height), rows.length);
for (const [tag, content] of rows) head.push(tag, ...packVarint(content.length), ...u32(crc32(content)));
head.push(...u32(crc32(Uint8Array.from(head))));
const file = new Uint8Array(rows.reduce((size, [, content]) => size + content.length, head.length));
file.set(head);
let at = head.length;
for (const [, content] of rows) {
file.set(content, at);
at += content.length;
}
return file;
}
function sectionsOf({ payload, outliers }, alpha) {
return [[Tag.LATENTS, payload], [Tag.OUTLIERS, outliers], [Tag.ALPHA, alpha]];
}
function u32(value) {
return [value & 255, (value >>> 8) & 255, (value >>> 16) & 255, value >>> 24];
}
function fromHex(text) {
return text.match(/../g).map((pair) => Number.parseInt(pair, 16));
}

// analysis.js
const CELLS = 8;
class Analysis {
constructor(kernel, tensors, networks) {
Object.assign(this, { kernel, networks });
const { N, M, P, C } = networks;
const layers = new Layers(kernel, tensors);
this.stem = layers.conv("g_a.stem", 3 * PATCH ** 2, C);
this.blocks = layers.blocks("g_a.blocks");
this.down = layers.down("g_a.down.1", C, M);
this.qEnc = layers.factors("log_q_enc", C);
this.shiftEnc = layers.shifts("shift_enc", C);
this.entry = layers.conv("h_a.0", M, P);
this.firstBlock = layers.block("h_a.1");
this.firstDown = layers.down("h_a.2.1", P, P);
this.secondBlock = layers.block("h_a.3");
this.secondDown = layers.down("h_a.4.1", P, N);
const widths = [...this.blocks.map(({ channels }) => channels - C), this.firstBlock.channels - P, this.secondBlock.channels - P];
if (widths.some(Boolean)) throw new WeightsError(`weights: the encoder's blocks do not have ${C} and ${P} channels`);
const most = Math.max(C, M, N);
[this.ones, this.zeros] = [1, 0].map((value) => kernel.place(new Float32Array(most).fill(value)));
}
analyse(image, { level, zHeight, zWidth }, advance = () => {}) {
const { kernel, networks: { C, M } } = this;
const [height, width] = [CELLS * zHeight, CELLS * zWidth];
const y = kernel.floats((height / 2) * (width / 2) * M);
const start = kernel.top;
const band = bandRows(width);
const factors = kernel.place(this.qEnc.at(level));
const { panels, bias, inputs } = this.stem;
const shifts = this.shiftEnc.at(level);
const entryBias = kernel.place(kernel.view(Float32Array, bias, C).map((value, c) => value + shifts[c]));
const pixels = kernel.allocate(4 * PATCH * image.width);
const squares = kernel.floats(width * this.stem.inputs);
const entered = kernel.floats(band * width * C);
const blocks = new Chain(this.blocks.map((block, n) => new BlockRows(kernel, block, width, band + n)));
const down = new DownRows(kernel, this.down, width, band + this.blocks.length);
let done = 0;
for (let top = 0; top < height; top += band) {
const count = Math.min(band, height - top);
for (let i = 0; i < count; i++) {
this.#unfold(image, top + i, width, pixels, squares);
kernel.run.convolve(squares, inputs, width, panels, entryBias, inputs, C, entered + 4 * i * width * C, C, 0);
}
const features = blocks.push(entered, count, top + count === height);
kernel.run.scale(features.address, features.rows * width, C, factors, this.zeros, Infinity);
const out = down.push(features.address, features.rows);
const positions = out.rows * (width / 2);
kernel.run.scale(out.address, positions, M, this.ones, this.zeros, BOUNDS.latent);
kernel.memoryCopy(y + 4 * done * M, out.address, 4 * positions * M);
done += positions;
advance((top + count) / height);
}
kernel.top = start;
return y;
}
#unfold({ width, height, rgba }, row, count, pixels, out) {
const first = Math.min(PATCH * row, height - 1);
const rows = Math.min(PATCH, height - first);
this.kernel.view(Uint8Array, pixels, 4 * rows * width).set(rgba.subarray(4 * first * width, 4 * (first + rows) * width));
this.kernel.run.from_rgba(pixels, width, rows, PATCH, count, out);
}
hyperAnalyse(y, { level, zHeight, zWidth }) {
const { kernel, networks: { N, M, zGain } } = this;
const [height, width] = [4 * zHeight, 4 * zWidth];
const zHat = kernel.allocate(4 * N * zHeight * zWidth);
const start = kernel.top;
const band = bandRows(width);
const factors = kernel.place(zGain.at(level));
const halved = Math.ceil((band + 1) / 2);
const chain = new Chain([
new SingleRows(kernel, this.entry, width, band),
new BlockRows(kernel, this.firstBlock, width, band),
new DownRows(kernel, this.firstDown, width, band + 1),
new BlockRows(kernel, this.secondBlock, width / 2, halved),
new DownRows(kernel, this.secondDown, width / 2, halved + 1),
]);
let [done, bad] = [0, 0];
for (let top = 0; top < height; top += band) {
const count = Math.min(band, height - top);
const out = chain.push(y + 4 * top * width * M, count, top + count === height);
const positions = out.rows * zWidth;
kernel.run.scale(out.address, positions, N, factors, this.zeros, Infinity);
bad += kernel.run.round_z(out.address, positions, N, done, zHeight * zWidth, zHat);
done += positions;
}
kernel.top = start;
if (bad) throw new CodingError(`z: ${bad} values are no finite numbers: the networks cannot code this image`);
return zHat;
}
}

// entropy_encoder.js
const COST_BITS = 24n;
const BITS_PER_LANE = 16_000n << COST_BITS;
const BITS_FOR_ENDS = 8_000n << COST_BITS;
const MAX_LANES = 8192;
class EntropyEncoder {
constructor(kernel, entropy) {
Object.assign(this, { kernel, entropy });
[this.yCosts, this.zCosts] = [entropy.y, entropy.z].map(({ address, packed }) => {
const costs = kernel.allocate(4 * packed.length);
kernel.run.symbol_costs(kernel.view(Uint32Array, address, 3)[1], packed.length, costs);
return costs;
});
}
encode({ zHat, r, index }, { level, zHeight, zWidth }, lanes = null) {
const { kernel, entropy } = this;
const start = kernel.top;
const plane = zHeight * zWidth;
const z = this.#segment(entropy.z, this.zCosts, entropy.zIndex(level, plane), entropy.N * plane, 0, zHat);
const y = this.#segment(entropy.y, this.yCosts, index, 16 * entropy.M * plane, 1, r);
const writer = new Writer(kernel, [z, y], lanes ?? chooseLanes(z.cost + y.cost));
writer.encode(y);
writer.encode(z);
const positions = [...z.positions, ...Array.from(y.positions, (position) => position + z.symbols)];
const outliers = packOutliers({ positions, values: [...z.outliers, ...y.outliers] });
const payload = writer.finish();
kernel.top = start;
return { payload, outliers };
}
#segment(tables, costs, index, count, skip, values) {
const { kernel } = this;
const content = kernel.allocate(16);
const measure = (...lists) => {
kernel.run.measure_segment(tables.address, costs, index, count, skip, values, content, ...lists);
const [symbols, listed] = kernel.view(Uint32Array, content + 8, 2);
return { symbols, listed, cost: kernel.view(BigUint64Array, content, 1)[0] };
};
const { symbols, listed, cost } = measure(0, 0);
const [positions, outliers] = [kernel.allocate(4 * listed), kernel.allocate(4 * listed)];
if (listed) measure(positions, outliers);
return {
tables: tables.address, index, count, skip, values, symbols, cost,
positions: kernel.view(Uint32Array, positions, listed).slice(),
outliers: kernel.view(Int32Array, outliers, listed).slice(),
};
}
}
function chooseLanes(cost) {
const affordable = cost > BITS_FOR_ENDS ? (cost - BITS_FOR_ENDS) / BITS_PER_LANE : 0n;
return affordable ? Math.min(MAX_LANES, 2 ** (affordable.toString(2).length - 1)) : 1;
}
class Writer {
constructor(kernel, segments, lanes) {
Object.assign(this, { kernel, lanes });
this.groups = Math.max(1, lanes / GROUP_LANES);
const room = segments.reduce((sum, { symbols }) => sum + Math.ceil(symbols / lanes), 0) * (lanes / this.groups);
this.ends = Uint32Array.from({ length: this.groups }, (_, group) => (group + 1) * room);
this.states = kernel.place(new Uint32Array(lanes).fill(RANS_L));
this.next = kernel.place(this.ends);
this.words = kernel.allocate(2 * this.groups * room);
this.address = kernel.place(Uint32Array.of(this.states, lanes, this.next, this.words));
}
encode({ tables, index, count, skip, symbols, values }) {
this.kernel.run.encode_segment(this.address, tables, index, count, skip, symbols, values);
}
finish() {
const { kernel, lanes, groups, ends } = this;
const next = kernel.view(Uint32Array, this.next, groups);
const counts = ends.map((end, group) => end - next[group]);
const payload = new Uint8Array(1 + 4 * (groups - 1) + 4 * lanes + 2 * counts.reduce((sum, count) => sum + count));
payload[0] = Math.log2(lanes);
const view = new DataView(payload.buffer);
counts.subarray(0, -1).forEach((count, group) => view.setUint32(1 + 4 * group, count, true));
const of = (address, size) => kernel.view(Uint8Array, address, size); // memory is little-endian, as the file is
let at = 1 + 4 * (groups - 1);
counts.forEach((count, group) => {
const size = 4 * (lanes / groups);
payload.set(of(this.states + group * size, size), at);
payload.set(of(this.words + 2 * next[group], 2 * count), at + size);
at += size + 2 * count;
});
return payload;
}
}

// encoder.js
const DEFAULT_MODEL = "base-perceptual";
const DEFAULT_QUALITY = 60;
const [LOWEST_QUALITY, HIGHEST_QUALITY] = [1, 100];
const WIRE_HASH = /^[0-9a-f]{8}$/;
const OPAQUE = 255;
const CELL = 64;
const ANALYSED = 0.55;
class EncoderModel {
constructor(model, tensors) {
this.analysis = new Analysis(model.kernel, tensors, model.networks);
this.entropy = new EntropyEncoder(model.kernel, model.entropy);
model.kernel.keep();
}
}
class Encoders {
constructor(models, find) {
Object.assign(this, { models, find });
this.loaded = new Map();
}
async load(key) {
const known = this.loaded.get(key);
if (known && this.models.has(known.model)) return known;
const { tensors, card } = readWeights(await this.find(key));
if (!Number.isInteger(card.model_id) || !WIRE_HASH.test(card.wire_hash)) {
throw new WeightsError(`weights: ${key} belongs to model ${card.model_id}, ${card.wire_hash}; that is none`);
}
const model = await this.models.load({ modelId: card.model_id, modelHash: card.wire_hash });
const loaded = { model, encoder: new EncoderModel(model, tensors), card };
this.loaded.set(key, loaded);
return loaded;
}
trim() {
for (const [key, { model }] of this.loaded) if (!this.models.has(model)) this.loaded.delete(key);
}
}
function levelOf({ quality, level }) {
if (quality !== undefined && level !== undefined) throw new InputError("quality and level can't be combined");
if (level !== undefined) {
if (!Number.isInteger(level) || level < 0 || level > MAX_LEVEL) {
throw new InputError(`level is ${level}; it must be a whole number, 0..${MAX_LEVEL}`);
}
return level;
}
const asked = quality ?? DEFAULT_QUALITY;
if (typeof asked !== "number" || !(asked >= LOWEST_QUALITY && asked <= HIGHEST_QUALITY)) {
throw new InputError(`quality is ${asked}; it must be ${LOWEST_QUALITY}..${HIGHEST_QUALITY}`);
}
return roundToEven(((asked - LOWEST_QUALITY) * MAX_LEVEL) / (HIGHEST_QUALITY - LOWEST_QUALITY));
}
function roundToEven(value) {
const below = Math.floor(value);
return value - below === 0.5 ? below + (below % 2) : Math.round(value);
}
function checkImage({ width, height, data, rgba = data }, maxPixels) {
for (const [side, value] of [["width", width], ["height", height]]) {
if (!Number.isInteger(value) || value < 1 || value > MAX_SIDE) {
throw new InputError(`${side} is ${value}; it must be 1..${MAX_SIDE}`);
}
}
if (!(width * height <= maxPixels)) {
throw new InputError(`image has ${width} x ${height} = ${width * height} pixels; the limit is ${maxPixels}`);
}
const isBytes = rgba instanceof Uint8Array || rgba instanceof Uint8ClampedArray;
if (!isBytes || rgba.length !== 4 * width * height) {
const seen = isBytes ? `${rgba.length} bytes` : String(rgba?.constructor?.name ?? rgba);
throw new InputError(`rgba is ${seen}; it must be ${4 * width * height} bytes, a Uint8Array or Uint8ClampedArray`);
}
return { width, height, rgba };
}
function modeOf(rgba) {
let [isGray, isOpaque] = [true, true];
for (let i = 0; i < rgba.length && (isGray || isOpaque); i += 4) {
if (rgba[i] !== rgba[i + 1] || rgba[i] !== rgba[i + 2]) isGray = false;
if (rgba[i + 3] !== OPAQUE) isOpaque = false;
}
return (isGray ? "L" : "RGB") + (isOpaque ? "" : "A");
}
function alphaOf(rgba) {
return Uint8Array.from({ length: rgba.length / 4 }, (_, i) => rgba[4 * i + 3]);
}
async function encode(image, { loaded: { model, encoder, card }, level, progress = () => {} }) {
const { width, height, rgba } = image;
const mode = modeOf(rgba);
const alpha = mode.endsWith("A") ? await packAlpha(alphaOf(rgba), width) : null;
const shape = { level, zHeight: Math.ceil(height / CELL), zWidth: Math.ceil(width / CELL) };
const { kernel, entropy, networks } = model;
try {
const y = encoder.analysis.analyse(image, shape, (part) => progress(ANALYSED * part));
const zHat = encoder.analysis.hyperAnalyse(y, shape);
const index = entropy.scaleIndex(zHat, shape);
const r = networks.quantize({ zHat, y, index }, shape, (part) => progress(ANALYSED + (1 - ANALYSED) * part));
const coded = encoder.entropy.encode({ zHat, r, index }, shape);
const header = { modelId: card.model_id, modelHash: card.wire_hash, level, mode, width, height };
return packFile(header, sectionsOf(coded, alpha));
} finally {
kernel.release();
}
}

// exif.js
const ORIENTATION = 0x0112;
const SHORT = 3;
const ENTRY_BYTES = 12;
function orientationOf(exif) {
if (!exif || exif.length < 8) return 1;
const view = new DataView(exif.buffer, exif.byteOffset, exif.byteLength);
const order = view.getUint16(0);
if (order !== 0x4949 && order !== 0x4d4d) return 1;
const little = order === 0x4949;
const directory = view.getUint32(4, little);
if (view.getUint16(2, little) !== 42 || directory + 2 > view.byteLength) return 1;
const count = view.getUint16(directory, little);
for (let entry = 0; entry < count; entry++) {
const at = directory + 2 + ENTRY_BYTES * entry;
if (at + ENTRY_BYTES > view.byteLength) return 1;
if (view.getUint16(at, little) !== ORIENTATION) continue;
const value = view.getUint16(at + 2, little) === SHORT ? view.getUint16(at + 8, little) : 1;
return value >= 1 && value <= 8 ? value : 1;
}
return 1;
}
function isTurned(orientation) {
return orientation >= 5;
}
function transformOf(orientation, width, height) {
return {
1: [1, 0, 0, 1, 0, 0],
2: [-1, 0, 0, 1, width, 0],
3: [-1, 0, 0, -1, width, height],
4: [1, 0, 0, -1, 0, height],
5: [0, 1, 1, 0, 0, 0],
6: [0, 1, -1, 0, height, 0],
7: [0, -1, -1, 0, height, width],
8: [0, -1, 1, 0, 0, width],
}[orientation];
}

// png.js
const PNG_SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
const COLOUR_TYPES = { L: 0, RGB: 2, LA: 4, RGBA: 6 };
const CHANNELS = { L: [0], RGB: [0, 1, 2], LA: [0, 3], RGBA: [0, 1, 2, 3] };
const STORED_MOST = 65535;
const UP = 2;
const NONE = 0;
async function encodePng(image, bands) {
const channels = CHANNELS[image.mode];
const deflate = new CompressionStream("deflate");
const writer = deflate.writable.getWriter();
const written = new Response(deflate.readable).arrayBuffer();
let above = new Uint8Array(image.width * channels.length);
for (const rgba of bands) {
const lines = packRows(rgba, image.width, channels);
const length = above.length + 1;
const filtered = new Uint8Array((lines.length / above.length) * length);
for (let row = 0; row < lines.length / above.length; row++) {
const line = lines.subarray(row * above.length, (row + 1) * above.length);
filtered[row * length] = UP;
for (let i = 0; i < line.length; i++) filtered[row * length + 1 + i] = line[i] - above[i];
above = line;
}
await writer.write(filtered);
}
await writer.close();
return assemble(image, await compressed(image.icc), new Uint8Array(await written));
}
function wrapPng(image, rgba) {
const lines = packRows(rgba, image.width, CHANNELS[image.mode]);
const length = lines.length / image.height;
const filtered = new Uint8Array(lines.length + image.height);
for (let row = 0; row < image.height; row++) {
filtered[row * (length + 1)] = NONE;
filtered.set(lines.subarray(row * length, (row + 1) * length), row * (length + 1) + 1);
}
return assemble({ ...image, exif: null }, image.icc && storedStream(image.icc), storedStream(filtered));
}
async function compressed(bytes) {
if (!bytes) return null;
const stream = new Blob([bytes]).stream().pipeThrough(new CompressionStream("deflate"));
return new Uint8Array(await new Response(stream).arrayBuffer());
}
function packRows(rgba, width, channels) {
const count = rgba.length / 4;
const out = new Uint8Array(count * channels.length);
for (let i = 0, at = 0; i < count; i++) for (const channel of channels) out[at++] = rgba[4 * i + channel];
return out;
}
function assemble({ width, height, mode, exif }, profile, pixels) {
const head = new Uint8Array(13);
const view = new DataView(head.buffer);
view.setUint32(0, width);
view.setUint32(4, height);
head.set([8, COLOUR_TYPES[mode], 0, 0, 0], 8);
const parts = [Uint8Array.from(PNG_SIGNATURE), ...chunk("IHDR", [head])];
if (profile) parts.push(...chunk("iCCP", [Uint8Array.of(0x49, 0x43, 0x43, 0, 0), profile])); // "ICC", zlib
if (exif) parts.push(...chunk("eXIf", [exif]));
parts.push(...chunk("IDAT", [pixels]), ...chunk("IEND", []));
return new Blob(parts, { type: "image/png" });
}
function chunk(name, parts) {
const length = parts.reduce((sum, part) => sum + part.length, 0);
const kind = Uint8Array.from(name, (letter) => letter.charCodeAt(0));
const crc = [kind, ...parts].reduce((value, part) => crc32(part, value), 0);
return [bigEndian(length), kind, ...parts, bigEndian(crc)];
}
function bigEndian(value) {
return Uint8Array.of(value >>> 24, value >>> 16, value >>> 8, value);
}
function storedStream(bytes) {
const blocks = Math.max(1, Math.ceil(bytes.length / STORED_MOST));
const out = new Uint8Array(2 + 5 * blocks + bytes.length + 4);
out.set([0x78, 0x01]);
let at = 2;
for (let block = 0; block < blocks; block++) {
const part = bytes.subarray(block * STORED_MOST, (block + 1) * STORED_MOST);
const { length } = part;
out.set([Number(block === blocks - 1), length & 255, length >> 8, ~length & 255, (~length >> 8) & 255], at);
out.set(part, at + 5);
at += 5 + length;
}
out.set(bigEndian(adler32(bytes)), at);
return out;
}

// client.js
const CACHE = "vaecodec-weights";
const ENCODER = "encoder";
const MODEL_NAME = /^[\w-]+$/;
const MAX_PIXELS = 2 ** 26;
class Weights {
#known = new Map();
constructor(folder) {
this.folder = folder;
}
add(weights) {
const bytes = typeof weights === "string" ? fromBase64(weights) : weights;
this.#known.set(keyOf(bytes), Promise.resolve(bytes));
}
get(key) {
if (!this.#known.has(key)) {
const fetched = this.#fetch(key).catch((error) => {
const current = this.#known.get(key);
if (current !== fetched) return current; // added while they could not be fetched
this.#known.delete(key); // to be tried again
throw error;
});
this.#known.set(key, fetched);
}
return this.#known.get(key);
}
async #fetch(key) {
const url = new URL(`${key}.safetensors`, this.folder);
if (url.protocol !== "file:") return fromServer(url, key);
return checked(await fromScript(new URL(`${key}.js`, this.folder)), key, url);
}
}
function checked(bytes, key, url) {
const found = keyOf(bytes);
if (found !== key) throw new HashMismatch(`${url.pathname} holds ${found}; its name says ${key}`);
return bytes;
}
function keyOf(weights) {
const { card } = readWeights(weights);
return card.part === ENCODER ? encoderKey(card.name) : `${card.model_id}-${card.wire_hash}`;
}
function encoderKey(name) {
return `${name}.${ENCODER}`;
}
async function fromServer(url, key) {
const isLasting = !key.endsWith(encoderKey(""));
const cache = isLasting && globalThis.caches ? await caches.open(CACHE).catch(() => null) : null;
const kept = await fromCache(cache, url, key);
if (kept) return kept;
const bytes = checked(await fetched(url, isLasting ? "default" : "no-cache"), key, url);
await cache?.put(url, new Response(bytes)).catch(() => {}); // a full disk: fetched again next time
return bytes;
}
async function fromCache(cache, url, key) {
const response = await cache?.match(url);
if (!response) return null;
try {
return checked(new Uint8Array(await response.arrayBuffer()), key, url);
} catch (error) {
if (!(error instanceof WeightsError)) throw error;
await cache.delete(url);
return null;
}
}
async function fetched(url, cache) {
const unreachable = (error) => {
throw new UnknownModel(`the weights ${url.pathname} cannot be fetched (${error.message})`);
};
const response = await fetch(url, { cache }).catch(unreachable);
if (!response.ok) {
await response.body?.cancel(); // or its connection stays taken
throw new UnknownModel(`the weights ${url.pathname} are not on this server (${response.status})`);
}
return new Uint8Array(await response.arrayBuffer().catch(unreachable));
}
const waiting = new Map();
async function fromScript(url) {
const text = await textOfScript(url);
try {
return fromBase64(text);
} catch (error) {
throw new WeightsError(`the weights ${url.pathname} are not in base64 (${error.message})`);
}
}
function textOfScript(url) {
const name = url.pathname.split("/").at(-1);
const script = document.createElement("script");
script.src = url;
const told = new Promise((resolve, reject) => {
script.onerror = () => reject(new UnknownModel(`the weights ${url.pathname} are not there`));
script.onload = () => reject(new WeightsError(`the weights ${url.pathname} are damaged: as a script they give nothing`));
globalThis.vaecodecWeights = (other, text) => waiting.get(other)?.(text);
waiting.set(name, resolve);
document.head.append(script);
});
return told.finally(() => {
waiting.delete(name);
script.remove();
});
}
class Client {
#jobs = new Map();
#next = 1;
#worker = null;
#last = Promise.resolve();
constructor(weights, startWorker) {
this.weights = weights;
this.startWorker = startWorker;
}
decode(bytes, { on = {}, maxPixels = MAX_PIXELS, preview = true, signal } = {}) {
return this.#enqueue({ type: "decode", bytes, maxPixels, preview }, on, signal);
}
latents(bytes, { maxPixels = MAX_PIXELS } = {}) {
return this.#enqueue({ type: "latents", bytes, maxPixels });
}
async encode(image, { quality, level, model = DEFAULT_MODEL, on = {}, maxPixels = MAX_PIXELS, signal } = {}) {
const { width, height, rgba } = checkImage(image, maxPixels);
if (!MODEL_NAME.test(model)) throw new InputError(`model is ${model}; it must be the name of one`);
const message = { type: "encode", width, height, bytes: rgba, level: levelOf({ quality, level }), key: encoderKey(model) };
return this.#enqueue(message, on, signal);
}
#enqueue(message, on = {}, signal = undefined) {
const turn = this.#last.then(() => this.#run(message, on, signal));
this.#last = turn.catch(() => {});
return turn;
}
#run({ bytes, ...message }, on, signal) {
signal?.throwIfAborted();
const id = this.#next++;
const abort = () => this.#stop(id, signal.reason);
const job = new Promise((resolve, reject) => {
this.#jobs.set(id, { on, resolve, reject });
signal?.addEventListener("abort", abort);
const data = bytes.slice().buffer;
try {
this.#worker ??= this.#start();
} catch (error) {
this.#stop(id, new BackendError(`no worker can be started (${error.message})`));
return;
}
this.#worker.postMessage({ ...message, id, data }, [data]);
});
return job.finally(() => signal?.removeEventListener("abort", abort));
}
#start() {
const worker = this.startWorker();
worker.onmessage = ({ data: message }) => {
if (worker === this.#worker) this.#answer(message); // what a stopped one still had to say
};
worker.onerror = (event) => {
for (const id of this.#jobs.keys()) this.#stop(id, new BackendError(`the worker failed (${event.message ?? "not loaded"})`));
};
return worker;
}
async #answer(message) {
if (message.type === "weights") {
await this.#sendWeights(message);
return;
}
const job = this.#jobs.get(message.id);
if (!job) return;
if (message.type === "done" || message.type === "error") {
this.#jobs.delete(message.id);
if (message.type === "done") job.resolve(message.result);
else job.reject(unpackError(message.error));
return;
}
try {
if (message.type === "rows") job.on.rows?.(message.top, message.rows, message.rgba);
else job.on[message.type]?.(message.image ?? message.part);
} catch (error) {
this.#stop(message.id, error); // the caller cannot take what it asked for: a canvas that large, for one
}
}
async #sendWeights({ key }) {
const worker = this.#worker;
try {
worker.postMessage({ type: "weights", key, bytes: await this.weights.get(key) });
} catch (error) {
worker.postMessage({ type: "weights", key, error: packError(error) });
}
}
#stop(id, reason) {
const job = this.#jobs.get(id);
if (!job) return;
this.#jobs.delete(id);
this.#worker?.terminate();
this.#worker = null;
job.reject(reason);
}
}
async function readStream(stream, header) {
const reader = stream.getReader();
try {
return await readAllOf(reader, header);
} catch (error) {
await reader.cancel(error).catch(() => {}); // it ended by itself, with this very error
throw error;
}
}
async function readAllOf(reader, header) {
const parts = [];
let size = 0;
let file = null;
for (;;) {
const { done, value } = await reader.read();
if (done) return joined(parts, size);
parts.push(value);
size += value.length;
file ??= tryHeader(joined(parts, size), header);
if (file) checkEnd(size, file.size);
}
}
function tryHeader(bytes, header) {
let file;
try {
file = parseHeader(bytes);
} catch (error) {
if (error instanceof Truncated && bytes.length < MAX_HEADER_BYTES) return null;
throw error;
}
header(file);
return file;
}
function joined(parts, size) {
const bytes = new Uint8Array(size);
let at = 0;
for (const part of parts) {
bytes.set(part, at);
at += part.length;
}
return bytes;
}

// worker.js
const KEPT_BYTES = 96 * 2 ** 20;
function serve(scope) {
const asked = new Map();
const find = (key) =>
new Promise((resolve, reject) => {
asked.set(key, { resolve, reject });
scope.postMessage({ type: "weights", key });
});
const loaded = compiledKernel().then((module) => {
const models = new Models(module, ({ modelId, modelHash }) => find(`${modelId}-${modelHash}`));
return { models, encoders: new Encoders(models, find) };
});
loaded.catch(() => {}); // told to whoever asks for an image
scope.onmessage = async ({ data: message }) => {
if (message.type === "weights") {
const { resolve, reject } = asked.get(message.key);
if (message.error) reject(unpackError(message.error));
else resolve(message.bytes);
return;
}
try {
const send = (type, content, transfer = []) => scope.postMessage({ type, id: message.id, ...content }, transfer);
send("done", { result: await run(message, await loaded, send) });
} catch (error) {
scope.postMessage({ type: "error", id: message.id, error: packError(error) });
}
};
}
async function run(message, { models, encoders }, send) {
try {
return await JOBS[message.type](message, { models, encoders, send });
} finally {
models.trim(KEPT_BYTES); // after errors, too: those of memory come from the largest images
encoders.trim();
}
}
async function compiledKernel() {
return compileKernel({ plain: await fromCompressed(KERNEL), fused: await fromCompressed(KERNEL_FUSED) });
}
const JOBS = {
latents: ({ data, maxPixels }, { models }) =>
decodeLatents(new Uint8Array(data), { loadModel: (file) => models.load(file), maxPixels }),
decode: ({ data, maxPixels, preview }, { models, send }) =>
decode(new Uint8Array(data), {
loadModel: (file) => models.load(file),
maxPixels,
preview,
sink: {
start: (image) => send("start", { image }),
preview: (image) => send("preview", { image }, [image.rgba.buffer]),
rows: (top, rows, rgba) => send("rows", { top, rows, rgba }, [rgba.buffer]),
progress: (part) => send("progress", { part }),
},
}),
encode: async ({ data, width, height, level, key }, { encoders, send }) => {
const progress = (part) => send("progress", { part });
return encode({ width, height, rgba: new Uint8Array(data) }, { loaded: await encoders.load(key), level, progress });
},
};

// canvas.js
const MAX_CANVAS_SIDE = 16384;
const MAX_CANVAS_PIXELS = 2 ** 28;
function uprightSize({ width, height }, orientation) {
return isTurned(orientation) ? { width: height, height: width } : { width, height };
}
function resize(canvas, { width, height }) {
if (Math.max(width, height) > MAX_CANVAS_SIDE || width * height > MAX_CANVAS_PIXELS) {
throw new BackendError(`the image is ${width} x ${height}; a canvas has ${MAX_CANVAS_SIDE} a side at most`);
}
if (canvas.width !== width) canvas.width = width;
if (canvas.height !== height) canvas.height = height;
}
class CanvasPainter {
#turn = Promise.resolve();
constructor(canvas, image, signal) {
Object.assign(this, { canvas, image, signal });
this.orientation = orientationOf(image.exif);
resize(canvas, uprightSize(image, this.orientation));
this.context = canvas.getContext("2d");
if (!this.context) throw new BackendError("a canvas cannot be had");
this.isPlain = this.orientation === 1 && !image.icc;
}
preview({ width, height, rgba }) {
this.#draw(rgba, width, height, (bitmap) => {
this.context.drawImage(bitmap, 0, 0, this.image.width, this.image.height);
});
}
rows(top, rows, rgba) {
const { width } = this.image;
if (this.isPlain) {
this.#then(() => this.context.putImageData(new ImageData(rgba, width, rows), 0, top));
return;
}
this.#draw(rgba, width, rows, (bitmap) => {
this.context.clearRect(0, top, width, rows); // the preview, where the image is not opaque
this.context.drawImage(bitmap, 0, top);
});
}
finish() {
return this.#turn;
}
#draw(rgba, width, height, paint) {
this.#then(async () => {
const bitmap = await this.#bitmap(rgba, width, height);
this.signal.throwIfAborted(); // the canvas is another image's
this.context.setTransform(...transformOf(this.orientation, this.image.width, this.image.height));
paint(bitmap);
this.context.resetTransform();
bitmap.close();
});
}
#bitmap(rgba, width, height) {
const { icc, mode } = this.image;
const source = icc ? wrapPng({ width, height, mode, icc }, rgba) : new ImageData(rgba, width, height);
return createImageBitmap(source).catch((error) => {
throw new BackendError(`rows of the image cannot be painted (${error.message})`);
});
}
#then(work) {
this.#turn = this.#turn.then(() => {
this.signal.throwIfAborted();
return work();
});
this.#turn.catch(() => {}); // told by `finish`
}
}

// element.js
const STYLE = `
:host { display: inline-block; max-width: 100%; vertical-align: bottom; }
:host([hidden]) { display: none; }
canvas { display: block; width: 100%; height: 100%; max-height: inherit; object-fit: inherit; }
canvas[hidden] { display: none; }
`;
const LAZY_MARGIN = "600px";
const NAME = "vaec-image";
class VaecImage extends (globalThis.HTMLElement ?? Object) {
static observedAttributes = ["src", "alt", "loading"];
static client = null;
static base = null;
#canvas = null;
#instead = null;
#bytes = null;
#abort = null;
#waits = null;
constructor() {
super();
const sheet = new CSSStyleSheet(); // legal under any style-src
sheet.replaceSync(STYLE);
const root = this.attachShadow({ mode: "open" });
root.adoptedStyleSheets = [sheet];
this.#canvas = document.createElement("canvas");
this.#canvas.setAttribute("part", "canvas");
this.#instead = document.createElement("span");
this.#instead.setAttribute("part", "alt");
root.append(this.#canvas, this.#instead);
this.#empty();
this.#show(true);
this.#describe();
this.complete = false;
}
get src() {
return this.getAttribute("src") ?? "";
}
set src(value) {
this.setAttribute("src", value);
}
get alt() {
return this.getAttribute("alt") ?? "";
}
set alt(value) {
this.setAttribute("alt", value);
}
get bytes() {
return this.#bytes;
}
set bytes(value) {
this.#bytes = value;
this.#begin();
}
get naturalWidth() {
return this.#canvas.width;
}
get naturalHeight() {
return this.#canvas.height;
}
get maxPixels() {
const asked = Number(this.getAttribute("max-pixels"));
return asked > 0 ? asked : MAX_PIXELS;
}
async decode() {
await this.#loaded();
}
#loaded() {
if (!this.done && (this.#bytes || this.src)) this.#load();
return this.done ?? Promise.reject(new VaecodecError("there is no src"));
}
async toBlob(type = "image/png", quality = undefined) {
const bytes = await this.#loaded();
if (type !== "image/png") return new Promise((resolve) => this.#canvas.toBlob(resolve, type, quality));
let image;
const bands = [];
const on = { start: (started) => (image = started), rows: (top, rows, rgba) => bands.push(rgba) };
await clientOf().decode(bytes, { on, maxPixels: this.maxPixels, preview: false });
return encodePng(image, bands);
}
connectedCallback() {
if (!this.done) this.#begin();
}
disconnectedCallback() {
this.#waits?.disconnect();
}
attributeChangedCallback(name, before, now) {
if (name === "alt") this.#describe();
else if (before !== now) {
if (name === "src") this.#bytes = null;
if (name === "src" || !this.done) this.#begin();
}
}
#describe() {
this.#canvas.setAttribute("role", this.getAttribute("alt") === "" ? "presentation" : "img");
this.#canvas.setAttribute("aria-label", this.alt);
this.#instead.textContent = this.alt;
}
#begin() {
this.#abort?.abort(new DOMException("another image was chosen", "AbortError"));
this.#waits?.disconnect();
this.done = null;
this.complete = false;
this.#show(true);
if (!this.#bytes && !this.src) this.#empty();
else if (!this.#bytes && !this.isConnected) return; // connectedCallback goes on
else if (this.getAttribute("loading") === "lazy") this.#whenNear(() => this.#load());
else this.#load();
}
#show(canvas) {
this.#canvas.hidden = !canvas;
this.#instead.hidden = canvas;
}
#empty() {
[this.#canvas.width, this.#canvas.height] = [0, 0];
}
#whenNear(start) {
const near = (entries) => {
if (entries.at(-1).isIntersecting) start(); // the last one says how it is now
};
this.#waits = new IntersectionObserver(near, { rootMargin: LAZY_MARGIN });
this.#waits.observe(this);
}
#load() {
this.#waits?.disconnect();
this.#abort = new AbortController();
const { signal } = this.#abort;
this.done = this.#run(signal);
this.done.then(
() => this.#tell("load"),
(error) => {
if (signal.aborted) return;
this.#empty();
this.#show(false);
this.#tell("error", error);
},
);
}
async #run(signal) {
const header = (file) => {
signal.throwIfAborted();
checkPixels(file, this.maxPixels);
resize(this.#canvas, uprightSize(file, 1));
this.#tell("header", file);
};
const bytes = await this.#read(header, signal);
signal.throwIfAborted();
parse(bytes, this.maxPixels); // what is wrong at first sight is told before the worker has time for it
this.#bytes = bytes;
let painter = null;
const on = {
start: (image) => (painter = new CanvasPainter(this.#canvas, image, signal)),
preview: (image) => {
painter.preview(image);
this.#tell("preview");
},
rows: (top, rows, rgba) => painter.rows(top, rows, rgba),
progress: (part) => this.#tell("progress", part),
};
await clientOf().decode(bytes, { on, maxPixels: this.maxPixels, signal });
signal.throwIfAborted();
await painter.finish();
signal.throwIfAborted();
this.complete = true;
return bytes;
}
async #read(header, signal) {
if (this.#bytes) return readStream(new Blob([this.#bytes]).stream(), header);
const { src } = this;
try {
return await readStream(await open(src, signal), header);
} catch (error) {
throw named(error, src);
}
}
#tell(type, detail = null) {
this.dispatchEvent(new CustomEvent(type, { detail }));
}
}
async function open(src, signal) {
const response = await fetch(src, { signal });
if (response.ok) return response.body;
await response.body?.cancel(); // or its connection stays taken
throw new VaecodecError(`${src}: the server answers ${response.status}`);
}
function named(error, src) {
return error instanceof TypeError ? new VaecodecError(`${src}: it cannot be fetched (${error.message})`) : error;
}
function startWorker() {
const isPart = Boolean(document.getElementById("vaecodec-code")); // no module: a page from a disk could not start it
workerUrl ??= isPart ? urlOf(document.getElementById("vaecodec-code").textContent) : urlOfModule(VaecImage.base);
return new Worker(workerUrl, { type: isPart ? "classic" : "module", name: "vaecodec" });
}
let workerUrl = null;
function urlOf(code) {
return URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
}
function urlOfModule(url) {
return new URL(url).origin === location.origin ? url : urlOf(`import ${JSON.stringify(url)};`);
}
function clientOf() {
VaecImage.client ??= new Client(new Weights(new URL("weights/", VaecImage.base)), startWorker);
return VaecImage.client;
}
function addWeights(weights) {
clientOf().weights.add(weights);
}
function encodeImage(image, options) {
return clientOf().encode(image, options);
}
function addEmbeddedWeights(selector = "script[data-vaec-weights]") {
for (const element of document.querySelectorAll(selector)) addWeights(element.textContent.trim());
}
function showEmbeddedFiles() {
const files = new Map();
for (const element of document.querySelectorAll("script[data-vaec-file]")) files.set(element.dataset.vaecFile, element);
for (const image of document.querySelectorAll("vaec-image[data-embedded]")) {
image.bytes = fromBase64(files.get(image.dataset.embedded).textContent.trim());
}
}
function define() {
if (!customElements.get(NAME)) customElements.define(NAME, VaecImage);
}

// main.js
function start(base) {
if (globalThis.document) {
VaecImage.base = base;
define();
addEmbeddedWeights();
showEmbeddedFiles();
} else if (globalThis.name === "vaecodec") {
serve(globalThis);
}
}

// As a module:
start(import.meta.url);
export { Client, VaecImage, Weights, define, encodePng, parseHeader };
